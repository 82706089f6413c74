"""How a command asks a running sandbox and answers: the client, the options that commands share, and completion.

The client follows no redirect, and reads nothing without a limit.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import wraps
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import click
from click.shell_completion import CompletionItem

from pytest_mcn_mock.cli.output import print_json
from pytest_mcn_mock.errors import Declined, McnMockError, Unreachable, UsageError
from pytest_mcn_mock.model.accounts import UNLIMITED
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.money import format_roubles, parse_roubles
from pytest_mcn_mock.model.outcomes import CAUSE_NAMES, MAX_CAUSE, MIN_CAUSE, Outcome
from pytest_mcn_mock.text import printable

DEFAULT_URL: Final = "http://127.0.0.1:8643"
MAX_ANSWER: Final = 64 * 2**20
"""Bytes of one answer. A page of deliveries has the answers of endpoints, so it can be long."""
MAX_EVENT: Final = 8 * 2**20
"""Bytes of one event of the stream, and of one line."""
PAGE: Final = 100
"""Items asked for at a time."""
SILENCE_S: Final = 45.0
"""The stream sends something every 15 s. After three times as long the sandbox is considered dead."""
EDITS: Final = 5
"""How often a list is read and replaced, if others change it meanwhile, before the command fails."""
_CHANGED_MEANWHILE: Final = 412
_VISIBLE = re.compile(r"[\x21-\x7e]+")
COMPLETE_WITHIN_S: Final = 1.0
"""How long a shell waits for a completion that the sandbox must answer."""
_WORD = re.compile(r"[0-9A-Za-z_]{1,64}", re.ASCII)
_Command = TypeVar("_Command", bound=Callable[..., Any])

ACCOUNT_ID: Final = click.IntRange(1, 10**15 - 1)
json_option = click.option("--json", "as_json", is_flag=True, help="Print only JSON.")


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the stream, with its data parsed."""

    name: str
    data: Any


class SandboxClient:
    """The admin API, and the vendor's, of the sandbox at ``url``.

    The URL may be the one that the sandbox prints, with its ``/v2/rest``. ``timeout_s`` is for each answer as a whole.
    Every method raises Unreachable if no sandbox answers, and Declined if it refuses.

    Raises UsageError for a URL, a token or a file of certificates that cannot be used.
    """

    def __init__(
        self, url: str = DEFAULT_URL, *, admin_token: str | None = None, cafile: Path | None = None, timeout_s: float
    ) -> None:
        self._url, self._path = split_url(url)
        self.url = self._url + self._path
        self._admin_headers = _authorization(admin_token, "the admin token") if admin_token else {}
        self._cafile = cafile
        self.timeout_s = timeout_s

    def get(self, path: str, **query: object) -> Any:
        """Return the answer of the admin API for a path under ``/__admin/``. Parameters that are None are left out.

        With ``wait``, in seconds, the answer may take so much longer.
        """
        given = {name: value for name, value in query.items() if value is not None}
        patient = copy(self)
        patient.timeout_s += float(str(given.get("wait", 0)))
        return patient._admin("GET", f"{path}?{urlencode(given)}" if given else path)  # noqa: SLF001 - its own

    def post(self, path: str, content: Mapping[str, Any] | None = None) -> Any:
        """Return the answer to a POST of a JSON object."""
        return self._admin("POST", path, dict(content or {}))

    def patch(self, path: str, content: Mapping[str, Any]) -> Any:
        """Return the answer to a PATCH with a JSON object."""
        return self._admin("PATCH", path, dict(content))

    def delete(self, path: str) -> None:
        """Delete the resource at the path."""
        self._admin("DELETE", path)

    def list(
        self, path: str, limit: int, after: str | None = None, wait_s: float | None = None, **query: object
    ) -> dict[str, Any]:
        """Return at most ``limit`` items of a list, read page after page, and the cursor of the next ones, or None.

        With ``wait_s`` the sandbox waits for so many seconds until there is an item.
        """
        items: list[Any] = []
        following: object = after
        while True:
            wait = None if items else wait_s
            page = self.get(path, limit=min(limit - len(items), PAGE), after=following, wait=wait, **query)
            try:
                items += page["items"]
                came_from, following = following, page["next"]
            except (TypeError, KeyError):
                raise self.stranger("what it answers has another form") from None
            if following is None or len(items) >= limit or following == came_from:
                return {"items": items[:limit], "next": following}

    def edit_list(self, path: str, edit: Callable[[Sequence[Any]], Sequence[Any]]) -> Any:
        """Replace a list by the result of ``edit``, and return the new list. If others change the list meanwhile, begin
        again.
        """
        path = f"/__admin/{path}"
        for _ in range(EDITS):
            status, found, etag = self._ask("GET", path, self._admin_headers)
            self._check(status, found)
            headers = self._admin_headers if etag is None else {**self._admin_headers, "If-Match": etag}
            status, answer, _ = self._ask("PUT", path, headers, {"items": edit(found["items"])})
            if status != _CHANGED_MEANWHILE:
                break
        self._check(status, answer)
        return answer

    def place_call(
        self, account_id: int, method: str, token: str, parameters: Mapping[str, str], dialect: Dialect
    ) -> Any:
        """Return the answer of the vendor's API to a request for a call, in one of its dialects."""
        from pytest_mcn_mock.model.money import Method
        from pytest_mcn_mock.web.dialects import table_of

        table = table_of(dialect)
        path = table.path(Method(method), str(account_id))
        body = dict(parameters) if table.fidelity.is_in_body else None
        if body is None:
            path = f"{path}?{urlencode(parameters)}"
        status, content, _ = self._ask("POST", path, _authorization(token, "the token"), body)
        if not 200 <= status <= 299:
            raise Declined(status, _refusal(content) or f"HTTP {status}, with a body of the configuration's own")
        return content

    def events(self, account_id: int | None = None) -> Iterator[Event]:
        """Yield ``connected``, and then the events of an account or of all, until the sandbox ends the stream.

        Raise Unreachable if it breaks off.
        """
        path = "/__admin/events" + ("" if account_id is None else f"?account_id={account_id}")
        with self._asking("GET", path, self._admin_headers, timeout_s=SILENCE_S) as response:
            if response.status != 200:
                self._check(response.status, self._content(response))
            yield Event("connected", None)
            yield from read_events(response)

    def _admin(self, method: str, path: str, content: object = None) -> Any:
        status, answer, _ = self._ask(method, f"/__admin/{path}", self._admin_headers, content)
        self._check(status, answer)
        return answer

    def _check(self, status: int, answer: Any) -> None:
        """Raise an error with the refusal's message, if the answer is a refusal."""
        if 200 <= status <= 299:
            return
        message = _refusal(answer)
        if message is None:
            raise self.stranger(f"it answers HTTP {status}")
        if status == 401:
            message += "; give the sandbox's own, which its banner or its configuration has, as --admin-token or "
            message += "MCN_MOCK_ADMIN_TOKEN"
        raise Declined(status, message)

    def _ask(
        self, method: str, path: str, headers: Mapping[str, str], content: object = None
    ) -> tuple[int, Any, str | None]:
        """Return status, content and ETag of an answer."""
        with self._asking(method, path, headers, content, timeout_s=self.timeout_s) as response:
            return response.status, self._content(response), response.headers["ETag"]

    @contextmanager
    def _asking(
        self, method: str, path: str, headers: Mapping[str, str], content: object = None, *, timeout_s: float
    ) -> Iterator[HTTPResponse]:
        """Ask, and yield the response. Raise Unreachable if there is none, or if it breaks off."""
        connection = self._connect(timeout_s)
        sent = {"Accept": "application/json", "User-Agent": "mcn-mock", **headers}
        body = None
        if content is not None:
            body, sent["Content-Type"] = json.dumps(content).encode(), "application/json"
        try:
            connection.request(method, self._path + path, body, sent)
            yield connection.getresponse()
        except (HTTPException, OSError, ValueError) as error:
            raise self._silent(error) from error
        finally:
            connection.close()

    def _connect(self, timeout_s: float) -> HTTPConnection:
        parts = urlsplit(self._url)
        host = parts.hostname or ""
        if parts.scheme == "http":
            return HTTPConnection(host, parts.port, timeout=timeout_s)
        try:
            context = ssl.create_default_context(cafile=self._cafile)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"--cacert {self._cafile} cannot be used: {error}") from error
        return HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)

    def _content(self, response: HTTPResponse) -> Any:
        """Return the JSON of an answer; None if it is empty."""
        deadline = time.monotonic() + self.timeout_s
        body = bytearray()
        while chunk := response.read1(65_536):
            body += chunk
            if len(body) > MAX_ANSWER:
                raise Unreachable(f"the answer of {self.url} is over {MAX_ANSWER} bytes; ask for less with --limit")
            if time.monotonic() > deadline:
                raise TimeoutError
        if not body:
            return None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise self.stranger(f"it answers HTTP {response.status} and no JSON") from None

    def stranger(self, why: str) -> Unreachable:
        """Return the error for a server that is not a sandbox, or one of quite another version."""
        return Unreachable(f"no mcn-mock sandbox answers at {self.url}: {why}; give the sandbox's URL as --url")

    def _silent(self, error: Exception) -> Unreachable:
        if isinstance(error, TimeoutError):
            return Unreachable(f"the sandbox at {self.url} has not answered within {self.timeout_s:g} s; see --timeout")
        why = reason(error)
        if "CERTIFICATE" in str(error):
            return Unreachable(
                f"the certificate of {self.url} cannot be trusted ({why}); give its authority as --cacert"
            )
        return Unreachable(
            f"no sandbox answers at {self.url} ({why}); start one with `mcn-mock serve`, or give its --url"
        )


def reason(error: Exception) -> str:
    """Return why a connection failed, in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def given(**values: Any) -> dict[str, Any]:
    """Return the values that are not None, by name, for a request."""
    return {name: value for name, value in values.items() if value is not None}


def segment(text: str) -> str:
    """Return a text as one step of a path."""
    return quote(text, safe="")


def read_events(response: HTTPResponse) -> Iterator[Event]:
    """Yield the events of a ``text/event-stream``. One that is too long or is not JSON is left out."""
    name, data, size = "message", list[bytes](), 0
    while line := response.readline(MAX_EVENT):
        if not line.endswith(b"\n"):
            size = MAX_EVENT + 1  # the line is not whole, so neither is its event
            continue
        field, _, value = line.rstrip(b"\r\n").partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value.decode("utf-8", "replace")
        elif field == b"data":
            size += len(value)
            if size <= MAX_EVENT:
                data.append(value)
        elif not field and not value and line[:1] in b"\r\n":
            if data and size <= MAX_EVENT:
                yield from _event(name, b"\n".join(data))
            name, data, size = "message", [], 0


def _event(name: str, data: bytes) -> Iterator[Event]:
    try:
        yield Event(name, json.loads(data))
    except (ValueError, RecursionError):
        return


def _refusal(content: Any) -> str | None:
    """Return what a refusal says, in the form of either dialect and of either ``error_style``, or None if it is not
    one.
    """
    try:
        if "error" in content:
            return f"{content['error']}{f': {name}' if (name := content['name']) else ''}"[:2000]
        errors = content["errors"]
        error = errors[0] if isinstance(errors, list) else errors
        return f"{error['code']}: {error['message']}"[:2000]
    except (TypeError, KeyError, IndexError):
        return None


def split_url(url: str) -> tuple[str, str]:
    """Return scheme and host of a sandbox's URL, and the path before its own paths, which is mostly empty."""
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or not _VISIBLE.fullmatch(url) or parts.query or parts.fragment or "@" in parts.netloc:
        shown = "that was given" if "@" in url else repr(url[:80])  # the part before an @ is secret
        raise UsageError(f"--url {shown} is not the URL of a sandbox, such as {DEFAULT_URL}")
    path = parts.path.rstrip("/")
    if path:
        from pytest_mcn_mock.web.dialects import DIALECTS  # it takes 40 ms, and few URLs have a path

        for pasted in (*(dialect.root for dialect in DIALECTS), "/__admin"):
            path = path.removesuffix(pasted)
    return f"{parts.scheme}://{parts.netloc}", path


def _authorization(token: str, what: str) -> dict[str, str]:
    if not _VISIBLE.fullmatch(token):
        raise UsageError(f"{what} must be visible ASCII characters without spaces")
    return {"Authorization": f"Bearer {token}"}


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The result of a command: the document that ``--json`` prints, the same for people, and the exit status.

    ``shown`` is a line, or a function that prints more than one.
    """

    document: Any
    shown: str | Callable[[], None]
    status: int = 0


def answered(command: Callable[..., CommandResult]) -> Callable[..., None]:
    """Add ``--json`` to a command, and print its result."""

    @json_option
    @wraps(command)
    def run(*arguments: Any, as_json: bool, **values: Any) -> None:
        answer = command(*arguments, **values)
        if as_json:
            print_json(answer.document)
        elif isinstance(answer.shown, str):
            click.echo(printable(answer.shown))
        else:
            answer.shown()
        if answer.status:
            raise SystemExit(answer.status)

    return run


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which sandbox is asked. The command is called with its client first."""

    @click.option(
        "--url", default=DEFAULT_URL, show_default=True, envvar="MCN_MOCK_URL", show_envvar=True,
        help="The sandbox's URL.",
    )  # fmt: skip
    @click.option(
        "--admin-token", envvar="MCN_MOCK_ADMIN_TOKEN", show_envvar=True,
        help="The token of its admin API, if it requires one.",
    )  # fmt: skip
    @click.option(
        "--cacert", type=click.Path(path_type=Path), envvar="MCN_MOCK_CACERT", show_envvar=True,
        help="A PEM file with the authority of its certificate, if that is not a public one.",
    )  # fmt: skip
    @click.option(
        "--timeout", type=click.FloatRange(0.1, 600), default=10.0, show_default=True,
        help="The maximum time for an answer, in seconds.",
    )  # fmt: skip
    @wraps(command)
    def run(
        *arguments: Any, url: str, admin_token: str | None, cacert: Path | None, timeout: float, **values: Any
    ) -> None:
        sandbox = SandboxClient(url, admin_token=admin_token, cafile=cacert, timeout_s=timeout)
        try:
            command(sandbox, *arguments, **values)
        except (LookupError, TypeError, AttributeError) as error:
            raise sandbox.stranger("what it answers has another form") from error

    return run


def check_amount(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return an amount in roubles with two decimals: ``10.00``. Raise UsageError if it is not one."""
    if value is None:
        return None
    return format_roubles(parse_roubles(value, name=param.name or "amount"))


def check_balance(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return an amount as ``check_amount`` does, or ``unlimited``."""
    return value if value in (None, UNLIMITED) else check_amount(ctx, param, value)


def _completed(
    path: str, field: str, hint: Callable[[dict[str, Any]], object], **query: object
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Complete a parameter with a field of the sandbox's items; with nothing if it does not answer at once."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the values that begin with the typed text."""
        given = ctx.params
        try:
            sandbox = SandboxClient(
                given.get("url") or DEFAULT_URL, admin_token=given.get("admin_token"), cafile=given.get("cacert"),
                timeout_s=COMPLETE_WITHIN_S,
            )  # fmt: skip
            items = sandbox.get(path, limit=100, **query)["items"]
            found = [(str(item[field]), str(hint(item))) for item in items]
        except (McnMockError, LookupError, TypeError):
            return []
        return [
            CompletionItem(value, help="".join(c for c in text if c.isprintable())[:60])
            for value, text in found
            if value.startswith(incomplete) and _WORD.fullmatch(value)
        ]

    return complete


def _complete_cause(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(str(c), help=name) for c, name in CAUSE_NAMES.items() if str(c).startswith(incomplete)]


complete_account = _completed("accounts", "id", lambda account: f"{account['balance']} roubles")
account_argument = click.argument("account_id", metavar="ID", type=ACCOUNT_ID, shell_complete=complete_account)
account_option = click.option(
    "--account", type=ACCOUNT_ID, metavar="ID", help="Only this account.", shell_complete=complete_account
)
call_argument = click.argument(
    "verification_call_uuid",
    metavar="UUID",
    shell_complete=_completed(
        "calls", "verification_call_uuid", lambda call: f"to {call['login_did']}, {call['state']}", order="newest"
    ),
)
delivery_argument = click.argument(
    "delivery_id",
    metavar="DELIVERY_ID",
    type=click.IntRange(1, 10**15),
    shell_complete=_completed(
        "deliveries", "id", lambda delivery: f"{delivery['state']}, {delivery['verification_call_uuid']}",
        order="newest",
    ),
)  # fmt: skip


position_argument = click.argument("position", metavar="N", type=click.IntRange(1, 10_000))


def without(position: int, items: Sequence[Any], what: str) -> list[Any]:
    """Return a list without the item at a position, from 1. Raise UsageError if there is none."""
    if position > len(items):
        raise UsageError(f"there is no {what} {position}; there are {len(items)}")
    return [*items[: position - 1], *items[position:]]


def list_options(command: _Command) -> _Command:
    """Add ``--limit`` and ``--after``: how much of a list, and from where."""
    limit = click.option(
        "--limit",
        type=click.IntRange(1, 1_000_000),
        default=100,
        show_default=True,
        help="The maximum number of items.",
    )
    after = click.option("--after", metavar="CURSOR", help="Continue after this cursor: the `next` of an earlier list.")
    return limit(after(command))


MAX_WAIT_S: Final = 60
"""How long the sandbox waits for an item at most."""


def filter_options(states: Sequence[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds the options for which items of a list are wanted, of which ``states`` are known, and
    ``--wait``. The command gets them in a dictionary ``wanted``: arguments of ``SandboxClient.list``.
    """

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @account_option
        @click.option("--login-did", metavar="NUMBER", help="Only calls to this number.")
        @click.option("--code", metavar="DIGITS", help="Only calls from a number that ends in these four digits.")
        @click.option("--state", type=click.Choice(states), help="Only this state.")
        @click.option(
            "--wait", type=click.FloatRange(0, MAX_WAIT_S, min_open=True), metavar="SECONDS",
            help="Wait this long for a first item. The exit status is 1 if none comes.",
        )  # fmt: skip
        @wraps(command)
        def run(
            *arguments: Any,
            account: int | None,
            login_did: str | None,
            code: str | None,
            state: str | None,
            wait: float | None,
            **others: Any,
        ) -> Any:
            wanted = {"account_id": account, "login_did": login_did, "code": code, "state": state, "wait_s": wait}
            return command(*arguments, wanted=wanted, **others)

        return run

    return add


def missed(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> int:
    """Return the exit status of a list: 1 if the command waited and no item came."""
    return int(wanted["wait_s"] is not None and not found["items"])


def outcome_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--outcome`` and ``--q931-status``: how a call ends. Giving both is a usage error."""

    @click.option("--outcome", type=click.Choice([str(o) for o in Outcome]), help="How the call ends.")
    @click.option(
        "--q931-status", type=click.IntRange(MIN_CAUSE, MAX_CAUSE), help="The Q.850 cause with which the call ends.",
        shell_complete=_complete_cause,
    )  # fmt: skip
    @wraps(command)
    def run(*arguments: Any, outcome: str | None, q931_status: int | None, **values: Any) -> Any:
        if outcome is not None and q931_status is not None:
            raise click.UsageError("give --outcome or --q931-status, not both")
        return command(*arguments, outcome=outcome, q931_status=q931_status, **values)

    return run


def trust_options(command: _Command) -> _Command:
    """Add ``--cacert`` and ``--insecure``: which certificates an https endpoint may have."""
    cacert = click.option(
        "--cacert", type=click.Path(path_type=Path), help="A PEM file of authorities to trust for https."
    )
    insecure = click.option("--insecure", is_flag=True, help="Accept any certificate.")
    return cacert(insecure(command))


class ListFirst(click.Group):
    """A group whose command ``list`` is meant if none is named: ``mcn-mock calls --limit 5``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``list`` before the options that are its own."""
        # A shell that completes has not named a command yet, and wants to know which there are.
        is_list = (
            args[0].startswith("-") and args[0] not in ctx.help_option_names if args else not ctx.resilient_parsing
        )
        if is_list:
            args = ["list", *args]
        return super().parse_args(ctx, args)
