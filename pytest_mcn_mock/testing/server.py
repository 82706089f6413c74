"""The fake api.mcn.ru in a test's process, which is also a pytest-httpserver."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Iterable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace
from pytest_httpserver import HTTPServer, WaitingSettings
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.wrappers import Request, Response

from pytest_mcn_mock.clocks import VirtualClock
from pytest_mcn_mock.compose import Fake, compose
from pytest_mcn_mock.errors import Conflict, NotFound, UsageError
from pytest_mcn_mock.model.accounts import DEFAULT_BALANCE, DEFAULT_CREDIT, MAX_ID, is_account_id, parse_balance
from pytest_mcn_mock.model.checks import check_bool, check_list, show
from pytest_mcn_mock.model.draws import seed_from_name
from pytest_mcn_mock.model.money import Tariff, tariff_from_roubles
from pytest_mcn_mock.service.accounts import Roubles
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.testing import wsgi
from pytest_mcn_mock.testing.account import Account
from pytest_mcn_mock.testing.applications import DOMAIN, Applications
from pytest_mcn_mock.testing.changes import Changes
from pytest_mcn_mock.testing.door import Door
from pytest_mcn_mock.testing.opened import OpenedAccounts
from pytest_mcn_mock.testing.views import AccountView
from pytest_mcn_mock.web.application import one_slash
from pytest_mcn_mock.web.dialects import API_MCN, DIALECTS, PAIDMETHODS
from pytest_mcn_mock.web.reader import Unreadable

if TYPE_CHECKING:
    from pytest_mcn_mock.delivery.worker import Sender
    from pytest_mcn_mock.model.webhooks import Targets

_LOG_SIZE: Final = 10_000
_ACCOUNT: Final = r"/accounts?/([^/]+)"


class MCNServer(HTTPServer):
    """A ``pytest_httpserver.HTTPServer``. The operator answers each request that no registered handler matches.

    It accepts the arguments of HTTPServer and ``settings``. Each request is answered in its own thread, which is used
    again for a later one, unless ``threaded`` is False.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = HTTPServer.DEFAULT_LISTEN_PORT,
        ssl_context: ssl.SSLContext | None = None,
        default_waiting_settings: WaitingSettings | None = None,
        *,
        threaded: bool = True,
        startup_timeout: float | None = None,
        settings: Settings | None = None,
    ) -> None:
        super().__init__(
            host, port, ssl_context, default_waiting_settings, threaded=threaded, startup_timeout=startup_timeout
        )
        self._door = Door()
        self._changes = Changes(self._door)
        self._applications = Applications(self._changes)
        self._fakes: list[tuple[Settings, Fake]] = []
        self.use_settings(Settings() if settings is None else settings)
        self._accounts_opened = count(1)
        self._listener: wsgi.Acceptor | None = None
        self._tls_context: ssl.SSLContext | None = None
        self._tls: tuple[BaseWSGIServer, wsgi.Acceptor, threading.Thread] | None = None
        self._tls_port = 0
        self.opened = OpenedAccounts(self._changes, self._fakes)
        """The accounts of ``open_account``."""

    @property
    def url(self) -> str:
        """``http://127.0.0.1:<port>``."""
        return self.url_for("/").rstrip("/")

    @property
    def base_url(self) -> str:
        """The base URL to use instead of https://api.mcn.ru/v2/rest."""
        return self.url + API_MCN.base_path

    @property
    def paid_url(self) -> str:
        """The base URL to use instead of https://paidmethods.mcn.ru."""
        return self.url + PAIDMETHODS.base_path

    def use_settings(self, settings: Settings) -> None:
        """Use these settings for accounts that are opened from now on. Open accounts keep theirs.

        The account's settings apply to a request to an account's path. The present settings apply to any other request.
        """
        if not isinstance(settings, Settings):
            raise UsageError(f"settings is {show(settings)}; use a Settings, also as the fixture mcn_settings")
        for known, fake in self._fakes:
            if known == settings:
                self._fake = fake
                return
        targets = settings.webhook_targets
        self._fake = compose(
            settings if targets is None else replace(settings, webhook_targets=[*targets, f"*.{DOMAIN}"]),
            post=self._door.loop.post,
            clock=VirtualClock(),
            subscribers=[self._changes.subscribe_to],
            make_sender=self._make_sender,
        )
        self._fakes.append((settings, self._fake))

    def _make_sender(self, targets: Targets | None) -> Sender:
        from pytest_mcn_mock.testing.sending import ApplicationSender  # a test without a webhook does not need it

        return ApplicationSender(self._applications, targets)

    def open_account(
        self,
        *,
        seed: int | None = None,
        balance: Roubles = DEFAULT_BALANCE,
        credit: Roubles = DEFAULT_CREDIT,
        name: str = "",
        account_id: str | int | None = None,
        token: str | None = None,
        numbers: Iterable[str] = (),
        tariff: Tariff | Mapping[str, Any] | None = None,
        strict: bool = True,
    ) -> Account:
        """Open an account. Missing arguments are drawn from the seed. A missing seed depends on the number of accounts
        that were opened before.

        ``balance`` is in roubles, or ``"unlimited"`` for load tests: it begins at 0, and every call is accepted and
        charged. ``credit``, in roubles, is how far below zero a call may take the balance. ``name`` is for people.

        ``tariff`` is a Tariff, or prices in roubles as for the marker ``mcn``.

        Raises UsageError if an argument is invalid, or if the id or the token is already used.

        A test that fails reports what happened on the account, and mistakes on it fail a test that passes, as those on
        ``mcn``, unless ``strict`` is False.
        """
        check_bool(strict, name="strict")
        connected = check_list(numbers, name="numbers", example='["79158888888"]')
        wanted_id = str(account_id) if type(account_id) is int and 0 < account_id < MAX_ID else account_id
        if wanted_id is not None and not (isinstance(wanted_id, str) and is_account_id(wanted_id)):
            raise UsageError(f"account_id is {show(account_id)}; use one to fifteen digits, such as '12345678'")
        number = next(self._accounts_opened)
        fake = self._fake

        def draw_seed() -> int:
            return seed_from_name(self.opened.test_name or str(number)) if seed is None else seed

        opening = fake.service.accounts.open(
            seed=seed_from_name(str(number)) if seed is None else seed,
            balance=balance,
            credit=credit,
            name=name,
            account_id=wanted_id,
            token=token,
            numbers=connected,
            tariff=tariff if tariff is None or isinstance(tariff, Tariff) else tariff_from_roubles(tariff),
        )
        try:
            opened = self._door.run(opening)
        except Conflict as conflict:
            if conflict.parameter == "id" and self._is_open(str(wanted_id)):
                raise Conflict(
                    f"account {wanted_id} is still open; close it first (account.close()), or choose another id",
                    "account_id",
                ) from None
            raise
        url = self.url
        urls = url + API_MCN.base_path, url + PAIDMETHODS.base_path
        kopecks = parse_balance(balance) or 0
        parts = opened, fake, self._door, self._changes, self._applications
        given = wanted_id is not None
        view = AccountView(*parts, *urls, kopecks, draw_seed, is_id_given=given, on_close=self.opened.closing)
        view.is_strict = strict
        account = Account(view)
        self.opened.add(account, view)
        return account

    def _is_open(self, account_id: str) -> bool:
        try:
            self._door.run(self._fake.service.accounts.get(account_id))
        except NotFound:
            return False
        return True

    @property
    def errors(self) -> list[BaseException]:
        """The exceptions of the user's handlers and applications since the last ``take_errors``."""
        assertions = [e if isinstance(e, AssertionError) else AssertionError(e) for e in self.assertions]
        return [*assertions, *self.handler_errors, *self._applications.errors]

    def take_errors(self) -> list[BaseException]:
        """Return these exceptions and forget them."""
        errors = self.errors
        self.clear_assertions()
        self.clear_handler_errors()
        self._applications.forget_errors()
        return errors

    def leave_stopped_loops(self) -> None:
        """End the attempts in flight to ASGI applications whose event loop has stopped."""
        self._applications.leave_stopped_loops()

    def clear(self) -> None:
        """Drop registered handlers, subscribed applications, errors and the log; accounts stay."""
        super().clear()
        self._applications.forget()

    def thread_target(self) -> None:
        """Serve until stopped."""
        if self.server is not None:
            self._listener = wsgi.Acceptor(self.server)
            self._listener.serve()

    @property
    def tls_port(self) -> int:
        """The port of ``listen_tls``; 0 if it was not called."""
        return self._tls_port

    def listen_tls(self, context: ssl.SSLContext) -> int:
        """Answer over TLS on a second port too, until stopped. Return the port.

        A server that is started again listens on that port again.
        """
        if self._tls is None:
            server = self._make_tls_server(context)
            listener = wsgi.Acceptor(server)
            thread = threading.Thread(target=listener.serve, daemon=True)
            self._tls_context, self._tls_port = context, server.port
            self._tls = server, listener, thread
            thread.start()
        return self._tls_port

    def _make_tls_server(self, context: ssl.SSLContext) -> BaseWSGIServer:
        app = Request.application(self.application)
        try:
            return make_server(self.host, self._tls_port, app, threaded=True, ssl_context=context)
        except SystemExit:  # how werkzeug reports that somebody else has the port now
            return make_server(self.host, 0, app, threaded=True, ssl_context=context)

    def start(self) -> None:
        """Start answering. Raise HTTPServerError if the server is running. After a ``stop``, pending work continues:
        ringing calls end when they are due, and pending CDRs are sent.
        """
        was_stopped = self._changes.is_stopping
        if was_stopped:
            self._door.loop.start()
            self._applications.loop.start()
            self._changes.is_stopping = False
            for _, fake in self._fakes:
                fake.late_worker.start_waiting()
                fake.feed.open()
        super().start()
        if self._tls_context is not None:
            self.listen_tls(self._tls_context)
        if was_stopped:
            for _, fake in self._fakes:
                self._door.start(fake.late_worker.resume()).result()

    def stop(self) -> None:
        """Stop answering and sending CDRs. Do not wait for clients, and end all waits of tests at once."""
        self._door.run(self._stop_waiting())
        self._changes.stop()
        if self._tls is not None:
            server, listener, thread = self._tls
            self._tls = None
            listener.stop()
            server.shutdown()
            thread.join()
        if self._listener is not None:
            self._listener.stop()
        super().stop()
        self._door.loop.stop(self._close_workers)
        self._applications.loop.stop()

    async def _stop_waiting(self) -> None:
        for _, fake in self._fakes:
            fake.feed.close()
            fake.late_worker.stop_waiting()

    async def _close_workers(self) -> None:
        for _, fake in self._fakes:
            await fake.late_worker.close()

    def application(self, request: Request) -> Response:
        """Answer a request. An exception of a handler becomes a 500, and ``check()`` raises it in the test."""
        read = request.environ[wsgi.READ]
        if isinstance(read, Unreadable):
            return wsgi.refuse_unread(self._fake_of(request).application, read)
        if read.body is None or not read.is_whole:  # no handler must see half a body as a whole one
            if wsgi.is_own_path(read.path):
                return wsgi.answer(self._fake_of(request).application, request, self._door)
            return Response("the request's body ended before it was complete", 400)
        try:
            return super().application(request)
        except Exception as error:
            self._applications.note(request.environ["RAW_URI"], request.get_data(), error)
            raise  # HTTPServer has recorded it
        except BaseException as error:  # pytest.fail and pytest.skip, which would end the server's thread
            failure = AssertionError(f"a handler raised {type(error).__name__}: {error}")
            failure.__cause__ = error
            self.add_assertion(failure)
            self._applications.note(request.environ["RAW_URI"], request.get_data(), error)
            return Response("a handler failed", 500)
        finally:
            del self.log[:-_LOG_SIZE]

    def dispatch(self, request: Request) -> Response:
        """Return the answer of a matching registered handler. If there is none, return the operator's answer, without
        a change to ordered handlers.
        """
        if wsgi.is_own_path(request.path) and not self._has_handler(request):
            return wsgi.answer(self._fake_of(request).application, request, self._door)
        return super().dispatch(request)

    def respond_nohandler(self, request: Request, extra_message: str = "") -> Response:
        """Answer as the operator if no registered handler matches: ``not_found`` for an unknown path."""
        return wsgi.answer(self._fake_of(request).application, request, self._door)

    def _fake_of(self, request: Request) -> Fake:
        """Return the fake that has the account of the request's path or, in a dialect whose paths name none, that of
        its token; and otherwise the one that is in use.
        """
        if len(self._fakes) > 1:
            path = one_slash(request.path)
            account = re.search(_ACCOUNT, path)
            dialect = next((d for d in DIALECTS if d.account is None and d.has_path(path)), None)
            token = dialect.token_in(request.headers.get("Authorization", "")) if dialect is not None else ""
            for _, fake in self._fakes:
                storage = fake.service.storage
                if account is not None and self._door.run(storage.is_taken(account[1])):
                    return fake
                if token and self._door.run(storage.account_of_token(token)) is not None:
                    return fake
        return self._fake

    def _has_handler(self, request: Request) -> bool:
        if self.permanently_failed or (self.ordered_handlers and self.ordered_handlers[0].matcher.match(request)):
            return True
        return bool(self.oneshot_handlers.match(request) or self.handlers.match(request))
