"""The sandbox's log: text or JSON, a line each, with the call's uuid in every line that is about one, and no secret.

A call is ``info``, as are a refusal and a failed attempt; a CDR that has failed is ``warning``. What else goes well is
``debug``. Refusals with the same code have at most one line a second, which says how many they are.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TextIO
from urllib.parse import urlsplit, urlunsplit

from pytest_mcn_mock.cli.output import Outlet
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import Delivery, DeliveryState, describe_state
from pytest_mcn_mock.model.money import format_roubles
from pytest_mcn_mock.service import events
from pytest_mcn_mock.service.events import Events
from pytest_mcn_mock.text import printable

_FIELDS: Final = (
    "event",
    "verification_call_uuid",
    "account_id",
    "method",
    "dialect",
    "path",
    "status",
    "code",
    "count",
    "delivery",
    "url",
)
"""The fields that a line may have besides its message, in this order."""
REFUSALS_S: Final = 1.0
"""Refusals with the same code are logged once in so many seconds: a load test may have thousands."""

_log = logging.getLogger("mcn_mock")


def set_up(log_format: str, level: str) -> None:
    """Log to standard error from now on; ``log_format`` is ``text`` or ``json``."""
    # No line shows its thread or process, which every record would look up otherwise.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = LogHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("asyncio").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether a line of asyncio is to be logged: not that a client has left, which is not a mistake."""
    return record.msg != "socket.send() raised exception."


def shut_down(timeout_s: float) -> None:
    """Write the logged lines, for at most ``timeout_s`` seconds. Later lines are lost."""
    for handler in _handlers():
        handler.end_counting()
        handler.outlet.close(timeout_s)


def dropped_lines() -> int:
    """How many lines were lost because they were not read, or could not be written."""
    return sum(handler.outlet.dropped for handler in _handlers())


def _handlers() -> list[LogHandler]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, LogHandler)]


class LogHandler(logging.Handler):
    """Writes each line through an ``Outlet``, so that the server does not wait for the reader of the log.

    The first refusal with a code has a line of its own. Those of the next REFUSALS_S seconds are counted, and so on.
    Lines about refusals are logged on the event loop.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.outlet = Outlet(stream, self._note)
        self._counts: dict[str, int] = {}
        """How many refusals with a code were not logged since the last line about one."""

    def emit(self, record: logging.LogRecord) -> None:
        code = getattr(record, "code", None)
        if code is not None and self._is_counted(code):
            return
        self._write(record)

    def end_counting(self) -> None:
        """Log the numbers of the refusals that were counted and not logged."""
        for code in list(self._counts):
            self._log_count(code, self._counts.pop(code))

    def _is_counted(self, code: str) -> bool:
        """Count the refusal if it has no line of its own."""
        if code in self._counts:
            self._counts[code] += 1
            return True
        self._count_for_a_while(code)
        return False

    def _count_for_a_while(self, code: str) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # the number would not be logged
            return
        self._counts[code] = 0
        loop.call_later(REFUSALS_S, self._log_counted, code)

    def _log_counted(self, code: str) -> None:
        count = self._counts.pop(code, 0)
        if count:
            self._log_count(code, count)
            self._count_for_a_while(code)

    def _log_count(self, code: str, count: int) -> None:
        if count:
            fields = {"event": "refusals", "code": code, "count": count}
            self._write(_record(logging.INFO, fields, "refused %d more with this code", count))

    def _write(self, record: logging.LogRecord) -> None:
        try:
            self.outlet.put(f"{self.format(record)}\n")
        except Exception:
            self.handleError(record)

    def _note(self, dropped: int) -> str:
        text = "%d lines of the log were lost, because it was not read"
        return f"{self.format(_record(logging.WARNING, {}, text, dropped))}\n"


class TextFormatter(logging.Formatter):
    """One line, ``time LEVEL logger: message field=value …``, with any message. A traceback follows it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items() if name != "event")
        line = printable(f"{_time(record)} {record.levelname} {record.name}: {record.getMessage()}{fields}")
        trace = _traceback(self, record)
        return "\n".join((line, *map(printable, trace.splitlines())))


class JsonFormatter(logging.Formatter):
    """One JSON object for each line: ``time``, ``level``, ``logger``, ``message``, and further fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
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


def _record(level: int, fields: Mapping[str, object], text: str, *values: object) -> logging.LogRecord:
    """Return the record of a line. The logger would also find out which code logs it, and no line shows that."""
    record = logging.LogRecord(_log.name, level, "", 0, text, values, None)
    record.__dict__.update(fields)
    return record


def subscribe_to(publisher: Events) -> None:
    """Log events from now on. The level is that of the start, so what it never shows needs no subscription."""
    if _log.isEnabledFor(logging.WARNING):
        publisher.subscribe(events.AttemptMade, _log_attempt)
        publisher.subscribe(events.DeliverySettled, _log_settled)
    if _log.isEnabledFor(logging.INFO):
        publisher.subscribe(events.CallPlaced, _log_placed)
        publisher.subscribe(events.CallEnded, _log_call)
        publisher.subscribe(events.RequestAnswered, _log_request)
        publisher.subscribe(events.StateReset, _log_reset)
    if _log.isEnabledFor(logging.DEBUG):
        publisher.subscribe(events.DeliveryResent, _log_resent)


def _log_placed(event: events.CallPlaced) -> None:
    if event.call.ending is None:
        _log_call(event)


def _log_call(event: events.CallPlaced | events.CallEnded) -> None:
    call = event.call
    how = "" if call.ending is None else f", {call.ending}"
    text = "call %s%s: to %s from %s, %s roubles"
    price = format_roubles(call.price)
    _log.handle(_record(logging.INFO, _of_call(call), text, call.state, how, call.login_did, call.caller_did, price))


def _log_attempt(event: events.AttemptMade) -> None:
    delivery, attempt = event.delivery, event.attempt
    level = _level(delivery, logging.DEBUG if attempt.error is None else logging.INFO)
    if _log.isEnabledFor(level):
        _log_delivery(level, delivery, without_secrets(str(attempt), delivery))


def _log_resent(event: events.DeliveryResent) -> None:
    _log_delivery(logging.DEBUG, event.delivery, "sent again")


def _log_settled(event: events.DeliverySettled) -> None:
    delivery = event.delivery
    if event.attempt is None:
        _log_delivery(_level(delivery, logging.DEBUG), delivery, delivery.note or "not tried")


def _log_request(event: events.RequestAnswered) -> None:
    """Log a request that was answered, or could not be. Its query and its headers are not logged."""
    entry = event.request
    level = logging.DEBUG if entry.refusal is None else logging.INFO
    if not _log.isEnabledFor(level):
        return
    fields = {"event": "request", "method": entry.method, "path": entry.path[:200], "status": entry.status}
    if entry.verification_call_uuid is not None:
        fields["verification_call_uuid"] = entry.verification_call_uuid
    if entry.refusal is None:
        _log.handle(_record(level, fields, "answered"))
    else:
        fields["code"] = str(entry.refusal.code)
        _log.handle(_record(level, fields, "refused: %s", entry.refusal.message))


def _log_reset(_: events.StateReset) -> None:
    _log.info("everything is as configured again")


def _of_call(call: Call) -> dict[str, Any]:
    return {
        "event": "call",
        "verification_call_uuid": call.verification_call_uuid,
        "account_id": call.account_id,
        "method": str(call.method),
        "dialect": str(call.dialect),
    }


def _level(delivery: Delivery, usual: int) -> int:
    return logging.WARNING if delivery.state is DeliveryState.FAILED else usual


def _log_delivery(level: int, delivery: Delivery, what: str) -> None:
    if not _log.isEnabledFor(level):
        return
    fields = {
        "event": "delivery",
        "verification_call_uuid": delivery.verification_call_uuid,
        "account_id": delivery.account_id,
        "delivery": delivery.id,
        "url": redacted(delivery.url),
    }
    state = describe_state(delivery.state, delivery.attempts)
    _log.handle(_record(level, fields, "CDR %s; %s", state, what))


def without_secrets(text: str, delivery: Delivery) -> str:
    """Return the text without the secrets of the delivery's URL, which an error message may quote."""
    sent = delivery.request.url if delivery.request else delivery.url
    return text.replace(sent, redacted(sent)).replace(delivery.url, redacted(delivery.url))


def redacted(url: str) -> str:
    """Return the URL without its secrets: user, password and query."""
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
    second, part = divmod(record.created, 1.0)
    return f"{_second(int(second))}.{int(part * 1000):03d}+00:00"


@lru_cache(maxsize=1)
def _second(timestamp: int) -> str:
    """Return a second as text. A busy log has many lines in one."""
    return datetime.fromtimestamp(timestamp, UTC).replace(tzinfo=None).isoformat()


@contextmanager
def silenced() -> Iterator[None]:
    """Log nothing meanwhile: made-up traffic did not happen."""
    before = _log.disabled
    _log.disabled = True
    try:
        yield
    finally:
        _log.disabled = before
