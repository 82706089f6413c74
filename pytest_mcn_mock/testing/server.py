"""The fake api.mcn.ru in a test's process, which is also a pytest-httpserver."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pytest_httpserver import HTTPServer
from werkzeug.serving import WSGIRequestHandler
from werkzeug.wrappers import Request, Response

from pytest_mcn_mock.compose import compose
from pytest_mcn_mock.domain.draws import seed_from_name
from pytest_mcn_mock.domain.tariffs import Tariff
from pytest_mcn_mock.operator.accounts import Roubles
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.testing.account import Account
from pytest_mcn_mock.testing.background import BackgroundLoop
from pytest_mcn_mock.testing.changes import Changes
from pytest_mcn_mock.web import wsgi
from pytest_mcn_mock.web.application import BASE_PATH

if TYPE_CHECKING:
    from ssl import SSLContext

    from pytest_httpserver import WaitingSettings

DEFAULT_BALANCE: Final = "100.00"
_POLL_S: Final = 0.02
"""How often the server's thread looks whether to stop; werkzeug's half a second is what makes its stop() slow."""
_LOG_SIZE: Final = 10_000

_USER_HASH: Final = re.compile(r"(user_hash=)[^&]*", re.IGNORECASE)


class LogHandler(WSGIRequestHandler):
    """werkzeug's request handler, which never logs a token."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log the request, without the value of ``user_hash``."""
        self.path = _USER_HASH.sub(r"\1***", self.path)
        super().log_request(code, size)


class MCNServer(HTTPServer):
    """A ``pytest_httpserver.HTTPServer`` on which the operator answers whatever no registered handler matches.

    Takes the arguments of HTTPServer and ``settings``. Each request has a thread of its own unless
    ``threaded`` is False.
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
        self._exchange = compose(settings or Settings(), self._background.post, self._changes)
        self._accounts_opened = 0

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
        self._accounts_opened += 1
        opened = self._exchange.operator.accounts.open(
            seed=seed_from_name(str(self._accounts_opened)) if seed is None else seed,
            balance=balance,
            account_id=account_id,
            token=token,
            numbers=numbers,
            tariff=tariff,
        )
        return Account(opened, self._exchange.operator, self._changes, self.base_url)

    def thread_target(self) -> None:
        """Serve until stopped."""
        if self.server is not None:
            self.server.RequestHandlerClass = LogHandler
            self.server.serve_forever(poll_interval=_POLL_S)

    def stop(self) -> None:
        """Stop answering, and stop sending CDRs."""
        super().stop()
        self._background.stop(self._exchange.dispatcher.close)

    def application(self, request: Request) -> Response:
        """Answer a request. Whatever a handler raises becomes a 500, and the test hears of it from ``check()``."""
        if wsgi.is_own_path(request.path) and not wsgi.bound_body(request):
            return wsgi.answer(self._exchange.application, request, body_read=False)
        try:
            return super().application(request)
        except Exception:
            raise  # HTTPServer has recorded it
        except BaseException as error:  # pytest.fail and pytest.skip, which would end the server's thread
            self.add_assertion(AssertionError(f"a handler raised {type(error).__name__}: {error}"))
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
