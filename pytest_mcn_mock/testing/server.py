"""The fake api.mcn.ru in a test's process, which is also a pytest-httpserver."""

from __future__ import annotations

import logging
import re
import socket
import ssl
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus

from pytest_httpserver import HTTPServer
from werkzeug.serving import BaseWSGIServer, ThreadedWSGIServer, make_server
from werkzeug.wrappers import Request, Response

from pytest_mcn_mock.clocks import VirtualClock
from pytest_mcn_mock.compose import Fake, compose
from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.accounts import DEFAULT_BALANCE, MAX_ID, is_account_id
from pytest_mcn_mock.model.checks import check_list, show
from pytest_mcn_mock.model.draws import seed_from_name
from pytest_mcn_mock.model.money import Tariff, tariff_from_roubles
from pytest_mcn_mock.service.accounts import Roubles
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.testing import wsgi
from pytest_mcn_mock.testing.access import Access
from pytest_mcn_mock.testing.account import Account
from pytest_mcn_mock.testing.applications import DOMAIN, Applications, ApplicationSender
from pytest_mcn_mock.testing.changes import Changes
from pytest_mcn_mock.testing.door import Door
from pytest_mcn_mock.testing.handler import RequestHandler
from pytest_mcn_mock.testing.workers import Workers
from pytest_mcn_mock.text import printable, printable_lines
from pytest_mcn_mock.web.application import BASE_PATH, one_slash
from pytest_mcn_mock.web.reader import Unreadable

if TYPE_CHECKING:
    from pytest_httpserver import WaitingSettings

_POLL_S: Final = 0.02
"""How often the server's thread looks whether to stop; werkzeug's half a second is what makes its stop() slow."""
_LOG_SIZE: Final = 10_000

_PARAMETER: Final = re.compile(r"([^?&=\s'\"]+)=([^&\s'\"]*)")


_ACCOUNT: Final = re.compile(r"/accounts?/([^/]+)")
_log = logging.getLogger("werkzeug")


def _log_safely(kind: str, message: str, *args: object) -> None:
    """Log for werkzeug's server, which quotes what a handler raised: no line of that begins as a line of the log's."""
    text = printable_lines(message % args if args else message).replace("\n", "\n    ")
    _log.log(logging.getLevelNamesMapping()[kind.upper()], "%s", text)


class LogHandler(RequestHandler):
    """werkzeug's request handler, which logs each request at ``debug`` and never logs a token.

    It leaves the level and the handlers of the logger ``werkzeug`` alone: a test may have a server of its own.
    """

    def log_error(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name for it
        """Log a line about a request that is not HTTP. A failed TLS handshake is its client's to report."""
        self.log("debug" if format.startswith("SSL error") else "error", format, *args)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name for it
        """Log a line, without the value of ``user_hash``, also where the line quotes a request that is no HTTP."""
        level = logging.getLevelNamesMapping()[type.upper()]
        if _log.isEnabledFor(level):
            line = _PARAMETER.sub(_without_token, message % args if args else message)
            _log.log(level, "%s - - %s", self.address_string(), printable(line))


def _without_token(parameter: re.Match[str]) -> str:
    name = parameter[1]
    return f"{name}=***" if unquote_plus(name).lower() == "user_hash" else parameter[0]


class _Connections:
    """The open connections of a server: none of them may keep its end waiting."""

    def __init__(self, how: int) -> None:
        self._how = how
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._ended = False

    def add(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)
            ended = self._ended
        if ended:
            self._shut(connection)

    def discard(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def end(self) -> None:
        """Read nothing more from any of them, nor from one that comes later."""
        with self._lock:
            self._ended = True
            connections = list(self._open)
        for connection in connections:
            self._shut(connection)

    def _shut(self, connection: socket.socket) -> None:
        with suppress(OSError):  # the client has closed it
            # Not SSLSocket's own, which would take TLS away from the thread that uses it.
            socket.socket.shutdown(connection, self._how)


class _Listener:
    """A werkzeug server that never waits for a client: neither to accept the next one, nor to end."""

    def __init__(self, server: BaseWSGIServer) -> None:
        self._server = server
        self._workers: Workers | None = None
        server.RequestHandlerClass = LogHandler
        if isinstance(server.socket, ssl.SSLSocket):
            # The thread of the connection does the handshake, with its first read, not the thread that accepts.
            server.socket.do_handshake_on_connect = False  # type: ignore[attr-defined] # typeshed lacks it
        if isinstance(server, ThreadedWSGIServer):
            # What is being answered is answered to its end.
            self._connections = _Connections(socket.SHUT_RD)
            self._work = server.process_request_thread
            self._workers = Workers(self._answer)
        else:
            self._connections = _Connections(socket.SHUT_RDWR)
            self._work = server.process_request
        # HTTPServer makes the server itself, and of a class of werkzeug's.
        server.process_request = self._begin  # type: ignore[assignment,method-assign]
        server.log = _log_safely  # type: ignore[assignment,method-assign]

    def serve(self) -> None:
        """Serve until ``stop``."""
        try:
            self._server.serve_forever(poll_interval=_POLL_S)
        finally:
            if self._workers is not None:
                self._workers.stop()

    def stop(self) -> None:
        """Let go of every connection that has not sent its request. The server's ``shutdown`` has to follow."""
        self._connections.end()

    def _begin(self, connection: Any, address: Any) -> None:
        self._connections.add(connection)
        if self._workers is None:
            self._answer(connection, address)
        else:
            self._workers.start(connection, address)

    def _answer(self, connection: Any, address: Any) -> None:
        try:
            self._work(connection, address)
        finally:
            self._connections.discard(connection)


class MCNServer(HTTPServer):
    """A ``pytest_httpserver.HTTPServer`` on which the operator answers whatever no registered handler matches.

    Takes the arguments of HTTPServer and ``settings``. Each request is answered in a thread of
    its own, which is kept for a later one, unless ``threaded`` is False.
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
        self._changes = Changes()
        self._door = Door()
        self._applications = Applications(self._changes)
        self._fakes: list[tuple[Settings, Fake]] = []
        self.use_settings(Settings() if settings is None else settings)
        self._accounts_opened = count(1)
        self._listener: _Listener | None = None
        self._tls_context: ssl.SSLContext | None = None
        self._tls: tuple[BaseWSGIServer, _Listener, threading.Thread] | None = None
        self._tls_port = 0

    @property
    def url(self) -> str:
        """``http://127.0.0.1:<port>``."""
        return self.url_for("/").rstrip("/")

    @property
    def base_url(self) -> str:
        """What stands for https://api.mcn.ru/v2/rest."""
        return self.url + BASE_PATH

    def use_settings(self, settings: Settings) -> None:
        """Give these settings to the accounts that are opened from now on; those that are open keep theirs.

        A request to an account's path meets the account's settings, any other one the settings that are in use now.
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
            subscribers=[self._changes.hear],
            make_sender=lambda targets: ApplicationSender(self._applications, targets),
        )
        self._fakes.append((settings, self._fake))

    def open_account(
        self,
        *,
        seed: int | None = None,
        balance: Roubles = DEFAULT_BALANCE,
        account_id: str | int | None = None,
        token: str | None = None,
        numbers: Iterable[str] = (),
        tariff: Tariff | Mapping[str, Any] | None = None,
    ) -> Account:
        """Open an account. What is not given is drawn from the seed, and the seed from how many were opened before.

        ``tariff`` is a Tariff, or prices in roubles as the marker ``mcn`` takes them.

        UsageError for an invalid argument, and for an id or a token that is taken.
        """
        connected = check_list(numbers, name="numbers", example='["79158888888"]')
        wanted_id = str(account_id) if type(account_id) is int and 0 < account_id < MAX_ID else account_id
        if wanted_id is not None and not (isinstance(wanted_id, str) and is_account_id(wanted_id)):
            raise UsageError(f"account_id is {show(account_id)}; use one to fifteen digits, such as '12345678'")
        number = next(self._accounts_opened)
        access = Access(self._fake, self._door, self._changes, self._applications, self.base_url)
        opening = self._fake.service.accounts.open(
            seed=seed_from_name(str(number)) if seed is None else seed,
            balance=balance,
            account_id=wanted_id,
            token=token,
            numbers=connected,
            tariff=tariff if tariff is None or isinstance(tariff, Tariff) else tariff_from_roubles(tariff),
        )
        return Account(access.run(opening), access)

    @property
    def errors(self) -> list[BaseException]:
        """What handlers and applications of the user's raised since ``take_errors``."""
        assertions = [e if isinstance(e, AssertionError) else AssertionError(e) for e in self.assertions]
        return [*assertions, *self.handler_errors, *self._applications.errors]

    def take_errors(self) -> list[BaseException]:
        """The same, once: they are forgotten then."""
        errors = self.errors
        self.clear_assertions()
        self.clear_handler_errors()
        self._applications.forget_errors()
        return errors

    def leave_stopped_loops(self) -> None:
        """Give up the CDRs that are under way to ASGI applications whose event loop has stopped."""
        self._applications.leave_stopped_loops()

    def clear(self) -> None:
        """Drop registered handlers, subscribed applications, errors and the log; accounts stay."""
        super().clear()
        self._applications.forget()

    def thread_target(self) -> None:
        """Serve until stopped."""
        if self.server is not None:
            self._listener = _Listener(self.server)
            self._listener.serve()

    @property
    def tls_port(self) -> int:
        """The port of ``listen_tls``, 0 before it was called."""
        return self._tls_port

    def listen_tls(self, context: ssl.SSLContext) -> int:
        """Answer the same over TLS on a second port, until stopped; return the port.

        A server that is started again listens on that port again.
        """
        if self._tls is None:
            server = self._make_tls_server(context)
            listener = _Listener(server)
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
        """Answer from now on; HTTPServerError if it does already. After a ``stop`` what is pending goes on: calls that
        ring end when they are due, and CDRs that were not delivered are sent.
        """
        was_stopped = self._changes.is_stopping
        if was_stopped:
            self._door.loop.start()
            self._applications.loop.start()
            self._changes.start_waiting()
            for _, fake in self._fakes:
                fake.worker.start_waiting()
        super().start()
        if self._tls_context is not None:
            self.listen_tls(self._tls_context)
        if was_stopped:
            for _, fake in self._fakes:
                self._door.start(fake.worker.resume()).result()

    def stop(self) -> None:
        """Stop answering, and stop sending CDRs. Waits for no client, and tells whoever waits for something at once."""
        self._door.run(self._stop_waiting())
        self._changes.stop_waiting()
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
            fake.worker.stop_waiting()

    async def _close_workers(self) -> None:
        for _, fake in self._fakes:
            await fake.worker.close()

    def application(self, request: Request) -> Response:
        """Answer a request. Whatever a handler raises becomes a 500, and the test hears of it from ``check()``."""
        read = request.environ[wsgi.READ]
        if isinstance(read, Unreadable):
            return wsgi.refuse_unread(self._fake_of(request).application, read)
        if read.body is None or not read.is_whole:  # no handler is to take half a body for a whole one
            if wsgi.is_own_path(read.path):
                return wsgi.answer(self._fake_of(request).application, request, self._door)
            return Response("the request's body ended before it was whole", 400)
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
        """A registered handler if one matches; else the operator, which leaves ordered handlers as they are."""
        if wsgi.is_own_path(request.path) and not self._has_handler(request):
            return wsgi.answer(self._fake_of(request).application, request, self._door)
        return super().dispatch(request)

    def respond_nohandler(self, request: Request, extra_message: str = "") -> Response:
        """Nothing registered matches, so that the operator answers: ``not_found`` for what is no path of its own."""
        return wsgi.answer(self._fake_of(request).application, request, self._door)

    def _fake_of(self, request: Request) -> Fake:
        """The fake that has the account of the request's path, and otherwise the one that is in use."""
        if len(self._fakes) > 1 and (account := _ACCOUNT.search(one_slash(request.path))) is not None:
            for _, fake in self._fakes:
                if self._door.run(fake.service.storage.is_taken(account[1])):
                    return fake
        return self._fake

    def _has_handler(self, request: Request) -> bool:
        if self.permanently_failed or (self.ordered_handlers and self.ordered_handlers[0].matcher.match(request)):
            return True
        return bool(self.oneshot_handlers.match(request) or self.handlers.match(request))
