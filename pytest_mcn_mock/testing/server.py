"""The fake api.mcn.ru in a test's process, which is also a pytest-httpserver."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus

from pytest_httpserver import HTTPServer
from werkzeug.serving import BaseWSGIServer, ThreadedWSGIServer, make_server
from werkzeug.wrappers import Request, Response

from pytest_mcn_mock.clocks import VirtualClock
from pytest_mcn_mock.compose import compose
from pytest_mcn_mock.domain.accounts import DEFAULT_BALANCE
from pytest_mcn_mock.domain.draws import seed_from_name
from pytest_mcn_mock.domain.tariffs import Tariff
from pytest_mcn_mock.operator.accounts import Roubles
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.testing.account import Account
from pytest_mcn_mock.testing.applications import DOMAIN, Applications, ApplicationSender
from pytest_mcn_mock.testing.background import BackgroundLoop
from pytest_mcn_mock.testing.changes import Changes
from pytest_mcn_mock.testing.handle import Backing
from pytest_mcn_mock.testing.handler import RequestHandler
from pytest_mcn_mock.testing.workers import Workers
from pytest_mcn_mock.web import wsgi
from pytest_mcn_mock.web.application import BASE_PATH
from pytest_mcn_mock.web.reader import Unreadable

if TYPE_CHECKING:
    from ssl import SSLContext

    from pytest_httpserver import WaitingSettings

_POLL_S: Final = 0.02
"""How often the server's thread looks whether to stop; werkzeug's half a second is what makes its stop() slow."""
_LOG_SIZE: Final = 10_000

_PARAMETER: Final = re.compile(r"([^?&=\s'\"]+)=([^&\s'\"]*)")


class LogHandler(RequestHandler):
    """werkzeug's request handler, which never logs a token."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name for it
        """Log a line, without the value of ``user_hash``, also where the line quotes a request that is no HTTP."""
        super().log(type, "%s", _PARAMETER.sub(_without_token, message % args if args else message))


def _without_token(parameter: re.Match[str]) -> str:
    name = parameter[1]
    return f"{name}=***" if unquote_plus(name).lower() == "user_hash" else parameter[0]


class MCNServer(HTTPServer):
    """A ``pytest_httpserver.HTTPServer`` on which the operator answers whatever no registered handler matches.

    Takes the arguments of HTTPServer and ``settings``. Each request is answered in a thread of
    its own, which is kept for a later one, unless ``threaded`` is False.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = HTTPServer.DEFAULT_LISTEN_PORT,
        ssl_context: SSLContext | None = None,
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
        self._background = BackgroundLoop()
        self._applications = Applications(self._changes)
        settings = settings or Settings()
        if settings.webhook_targets is not None:
            settings = replace(settings, webhook_targets=[*settings.webhook_targets, f"*.{DOMAIN}"])
        self._exchange = compose(
            settings,
            self._background.post,
            clock=VirtualClock(),
            observers=[self._changes],
            make_sender=lambda targets: ApplicationSender(self._applications, targets),
        )
        self._accounts_opened = count(1)
        self._tls: BaseWSGIServer | None = None
        self._tls_thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """``http://127.0.0.1:<port>``."""
        return self.url_for("/").rstrip("/")

    @property
    def base_url(self) -> str:
        """What stands for https://api.mcn.ru/v2/rest."""
        return self.url + BASE_PATH

    def open_account(
        self,
        *,
        seed: int | None = None,
        balance: Roubles = DEFAULT_BALANCE,
        account_id: str | None = None,
        token: str | None = None,
        numbers: Iterable[str] = (),
        tariff: Tariff | None = None,
    ) -> Account:
        """Open an account. What is not given is drawn from the seed, and the seed from how many were opened before.

        UsageError for an argument that cannot be, and for an id or a token that is taken.
        """
        number = next(self._accounts_opened)
        opened = self._exchange.operator.accounts.open(
            seed=seed_from_name(str(number)) if seed is None else seed,
            balance=balance,
            account_id=account_id,
            token=token,
            numbers=numbers,
            tariff=tariff,
        )
        backing = Backing(self._exchange, self._changes, self._background, self._applications, self.base_url)
        return Account(opened, backing)

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
        server = self.server
        if server is None:
            return
        server.RequestHandlerClass = LogHandler
        if not isinstance(server, ThreadedWSGIServer):
            server.serve_forever(poll_interval=_POLL_S)
            return
        workers = Workers(server.process_request_thread)
        # HTTPServer makes the server itself, and of a class of werkzeug's.
        server.process_request = workers.start  # type: ignore[assignment,method-assign]
        try:
            server.serve_forever(poll_interval=_POLL_S)
        finally:
            workers.stop()

    def listen_tls(self, context: SSLContext) -> int:
        """Answer the same over TLS on a second port, until stopped; return the port."""
        if self._tls is None:
            app = Request.application(self.application)
            self._tls = make_server(self.host, 0, app, ssl_context=context, threaded=True, request_handler=LogHandler)
            self._tls_thread = threading.Thread(target=self._tls.serve_forever, args=(_POLL_S,), daemon=True)
            self._tls_thread.start()
        return self._tls.port

    def start(self) -> None:
        """Answer from now on; HTTPServerError where it does already."""
        self._exchange.operator.calls.start_waiting()
        super().start()

    def stop(self) -> None:
        """Stop answering, and stop sending CDRs."""
        self._exchange.feed.close()
        self._exchange.operator.calls.stop_waiting()
        if self._tls is not None and self._tls_thread is not None:
            self._tls.shutdown()
            self._tls_thread.join()
            self._tls = self._tls_thread = None
        super().stop()
        self._background.stop(self._exchange.dispatcher.close)

    def application(self, request: Request) -> Response:
        """Answer a request. Whatever a handler raises becomes a 500, and the test hears of it from ``check()``."""
        read = request.environ[wsgi.READ]
        if isinstance(read, Unreadable):
            return wsgi.refuse_unread(self._exchange.application, read)
        if read.body is None or not read.is_whole:  # no handler is to take half a body for a whole one
            return wsgi.answer(self._exchange.application, request)
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
            return wsgi.answer(self._exchange.application, request)
        return super().dispatch(request)

    def respond_nohandler(self, request: Request, extra_message: str = "") -> Response:
        """Nothing registered matches, so that the operator answers: ``not_found`` for what is no path of its own."""
        return wsgi.answer(self._exchange.application, request)

    def _has_handler(self, request: Request) -> bool:
        if self.permanently_failed or (self.ordered_handlers and self.ordered_handlers[0].matcher.match(request)):
            return True
        return bool(self.oneshot_handlers.match(request) or self.handlers.match(request))
