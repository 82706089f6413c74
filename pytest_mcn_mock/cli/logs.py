"""The sandbox's log: text or JSON, a line each, with the call's uuid in every line that is about one, and no secret.

A call is ``info``, as are a refusal and a failed attempt; a CDR that has failed is ``warning``. What else goes well is
``debug``.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, TextIO
from urllib.parse import urlsplit, urlunsplit

from pytest_mcn_mock.cli.output import Outlet
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import Delivery, DeliveryState
from pytest_mcn_mock.model.money import format_roubles
from pytest_mcn_mock.model.requests import ApiRequest
from pytest_mcn_mock.service.ports import Item
from pytest_mcn_mock.text import printable

_FIELDS: Final = (
    "event",
    "verification_call_uuid",
    "account_id",
    "method",
    "path",
    "status",
    "code",
    "delivery",
    "url",
)
"""What a line may have beside its message, in this order."""

_log = logging.getLogger("mcn_mock")


def set_up(log_format: str, level: str) -> None:
    """Log to standard error from now on; ``log_format`` is ``text`` or ``json``."""
    handler = LogHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("asyncio").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether a line of asyncio is to be logged: not that a client has left, which is no mistake."""
    return record.msg != "socket.send() raised exception."


def shut_down(timeout_s: float) -> None:
    """Write what was logged, for at most ``timeout_s`` seconds; what is logged later is lost."""
    for handler in _handlers():
        handler.outlet.close(timeout_s)


def dropped_lines() -> int:
    """How many lines were lost because nobody read them, or because they could not be written."""
    return sum(handler.outlet.dropped for handler in _handlers())


def _handlers() -> list[LogHandler]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, LogHandler)]


class LogHandler(logging.Handler):
    """Writes each line through an ``Outlet``, so that nobody waits for the reader of the log."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.outlet = Outlet(stream, self._note)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.outlet.put(f"{self.format(record)}\n")
        except Exception:
            self.handleError(record)

    def _note(self, dropped: int) -> str:
        text = "%d lines of the log were lost: nobody has read it"
        record = logging.LogRecord(_log.name, logging.WARNING, __file__, 0, text, (dropped,), None)
        return f"{self.format(record)}\n"


class TextFormatter(logging.Formatter):
    """``time LEVEL logger: message field=value …``, a line, whatever is in the message. A traceback follows it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items() if name != "event")
        line = printable(f"{_time(record)} {record.levelname} {record.name}: {record.getMessage()}{fields}")
        trace = _traceback(self, record)
        return "\n".join((line, *map(printable, trace.splitlines())))


class JsonFormatter(logging.Formatter):
    """An object a line: ``time``, ``level``, ``logger``, ``message``, and what the line is about."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        content = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        trace = _traceback(self, record)
        if trace:
            content["traceback"] = trace
        return json.dumps(content)


class LogObserver:
    """Logs what the operator tells. Implements ``service.ports.Observer``."""

    def changed(self, account_id: str, item: Item | None = None, before: Item | None = None) -> None:
        if isinstance(item, ApiRequest):
            log_request(item)
        elif isinstance(item, Call):
            if _log.isEnabledFor(logging.INFO):
                how = "" if item.ending is None else f", {item.ending}"
                _log.info(
                    "call %s%s: to %s from %s, %s roubles",
                    item.state, how, item.login_did, item.caller_did, format_roubles(item.price), extra=_of_call(item),
                )  # fmt: skip
        elif isinstance(item, Delivery):
            _log_delivery(item, before if isinstance(before, Delivery) else None)

    def closed(self, account_id: str) -> None:
        pass  # the request that closed it is logged

    def reset(self) -> None:
        _log.info("everything is as configured again")


def log_request(entry: ApiRequest) -> None:
    """A request that was answered, or was not. Its query and its headers are not in it."""
    level = logging.DEBUG if entry.refusal is None else logging.INFO
    if not _log.isEnabledFor(level):
        return
    fields = {"event": "request", "method": entry.method, "path": entry.path[:200], "status": entry.status}
    if entry.verification_call_uuid is not None:
        fields["verification_call_uuid"] = entry.verification_call_uuid
    if entry.refusal is None:
        _log.log(level, "answered", extra=fields)
    else:
        fields["code"] = str(entry.refusal.code)
        _log.log(level, "refused: %s", entry.refusal.message, extra=fields)


def _of_call(call: Call) -> dict[str, Any]:
    return {
        "event": "call",
        "verification_call_uuid": call.verification_call_uuid,
        "account_id": call.account_id,
        "method": str(call.method),
    }


def _log_delivery(delivery: Delivery, before: Delivery | None) -> None:
    """What has become of it: by an attempt, or without one."""
    is_tried = len(delivery.attempts) > (0 if before is None else len(before.attempts))
    attempt = delivery.attempts[-1] if is_tried else None
    level = logging.DEBUG
    if delivery.state is DeliveryState.FAILED:
        level = logging.WARNING
    elif attempt is not None and attempt.error is not None:
        level = logging.INFO
    if not _log.isEnabledFor(level):
        return
    fields = {
        "event": "delivery",
        "verification_call_uuid": delivery.verification_call_uuid,
        "account_id": delivery.account_id,
        "delivery": delivery.id,
        "url": redacted(delivery.url),
    }
    otherwise = "sent again" if before and delivery.resent > before.resent else delivery.note or "not tried"
    told = without_secrets(str(attempt), delivery) if attempt else otherwise
    _log.log(level, "CDR %s; %s", delivery.state, told, extra=fields)


def without_secrets(text: str, delivery: Delivery) -> str:
    """The text without the secrets of the delivery's URL, which an error message may quote."""
    sent = delivery.request.url if delivery.request else delivery.url
    return text.replace(sent, redacted(sent)).replace(delivery.url, redacted(delivery.url))


def redacted(url: str) -> str:
    """The URL without what may be secret in it: user, password and query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "***"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "***" if parts.query else "", ""))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name in _FIELDS if (value := getattr(record, name, None)) is not None}


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


@contextmanager
def silenced() -> Iterator[None]:
    """Log nothing meanwhile: what is made up to look at did not happen."""
    before = _log.disabled
    _log.disabled = True
    try:
        yield
    finally:
        _log.disabled = before
