"""The parameters of a request: from the query string, and from a form or a JSON body if there is one.

"The query wins": a parameter that is in both is taken from the query. A parameter that is twice in the same place is
refused, because nothing says which of the two is meant. Empty means not given ("Если поле не заполнено"), also if the
query wins.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from msgspec import Struct

from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.text import encodable
from pytest_mcn_mock.web.http import MAX_BODY, Request

MAX_PARAMETERS = 64
MAX_VALUE_LENGTH = 256
MAX_WHOLE = 2**53
"""Above it not every whole number has a float of its own (IEEE 754)."""
JSON_IN_A_FORM = "json_in_a_form"
"""Stands for the media type of JSON that is declared as a urlencoded form, as a CRM module sends it."""
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class Given(Struct, frozen=True):
    """The parameters of a request that are not empty, as text: ``all`` of them, and by place.

    ``body`` is None if there is none, and ``body_type`` its media type. ``not_text`` names the values of a JSON body
    that were a number or null.
    """

    all: dict[str, str]
    query: dict[str, str]
    body: dict[str, str] | None = None
    body_type: str = ""
    not_text: tuple[str, ...] = ()


def read_parameters(request: Request) -> Given:
    """Return every parameter that was given.

    Raises Refusal ``invalid_parameter`` for text that UTF-8 cannot write, a parameter given twice or longer than 256
    characters, more than 64 of them, and a body that is not of its Content-Type; ``payload_too_large`` for a
    body over 64 KiB.
    """
    query = read_query(request.query)
    body = whole_body(request)
    if not body:
        query = bounded(query)
        return Given(query, query)
    # The article's requests have no body, and in the sandbox they need no werkzeug.
    from werkzeug.http import parse_options_header

    mime_type, options = parse_options_header(request.headers.get("content-type", ""))
    mime_type = mime_type.lower()  # RFC 9110, 8.3.1
    if mime_type == _FORMS[0] and body.lstrip().startswith(b"{"):  # a form would have %7B
        mime_type = JSON_IN_A_FORM
    content, not_text = _read_body(body, mime_type, options)
    return Given(_given({**content, **query}), bounded(query), bounded(content), mime_type, not_text)


def bounded(given: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that are not empty. Raises Refusal ``invalid_parameter`` for one over 256 characters."""
    kept = {}
    for name, value in given.items():
        if len(value) > MAX_VALUE_LENGTH:
            raise _invalid(name[:40], "value_too_long", most=MAX_VALUE_LENGTH)
        if value:
            kept[name] = value
    return kept


def _given(parameters: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if value}


def read_json(request: Request) -> Any:
    """Return the JSON document of a request with any Content-Type. Raises as ``read_parameters``."""
    return _parse_json(whole_body(request))


def whole_body(request: Request) -> bytes:
    """Return a request's body. Raises Refusal ``payload_too_large`` or ``invalid_parameter`` if it is not whole."""
    if request.body is None:
        raise Refusal(RefusalCode.PAYLOAD_TOO_LARGE, Reason("body_too_large", {"most": MAX_BODY}), "body")
    if not request.is_whole:
        raise _invalid("body", "not_whole_body")
    return request.body


def read_query(query: bytes) -> dict[str, str]:
    """Return the parameters of a query string. Raises as ``read_parameters``."""
    if not query:
        return {}
    try:
        text = query.decode("ascii")
        if "%" in text or "+" in text or text.count("&") >= MAX_PARAMETERS:
            return _once(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS))
    except UnicodeDecodeError:
        raise _invalid("query", "query_not_utf8") from None
    except ValueError:
        raise _invalid("query", "too_many_parameters", most=MAX_PARAMETERS) from None
    given: dict[str, str] = {}
    for pair in filter(None, text.split("&")):  # nothing to decode, for which parse_qsl takes three times as long
        name, _, value = pair.partition("=")
        if name in given:
            raise _given_twice(name)
        given[name] = value
    return given


def _read_body(body: bytes, mime_type: str, options: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the parameters of a body, and the names of those that were not text."""
    if mime_type in ("application/json", JSON_IN_A_FORM):
        return _read_json(body)
    return _read_form(body, mime_type, options) if mime_type in _FORMS else {}, ()


def _read_json(body: bytes) -> tuple[dict[str, str], tuple[str, ...]]:
    content = _parse_json(body)
    if not isinstance(content, dict):
        raise _invalid("body", "not_parameters")
    if len(content) > MAX_PARAMETERS:
        raise _invalid("body", "too_many_parameters", most=MAX_PARAMETERS)
    text = {name: _text(name, value) for name, value in content.items() if value is not None}
    return text, tuple(name for name, value in content.items() if not isinstance(value, str))


def _parse_json(body: bytes) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        _once(pairs)
        return dict(pairs)

    try:
        content = json.loads(body.decode(), object_pairs_hook=unique, parse_constant=_no_number, parse_float=_number)
        if b"\\u" in body:  # the only way to spell a lone surrogate in UTF-8
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _invalid("body", "surrogate") from None
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise _invalid("body", "not_json") from None
    return content


def _number(text: str) -> float:
    """Return the number; 5.0 and 5e0 are whole numbers, as in JSON Schema."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) <= MAX_WHOLE else number


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise _invalid(name[:40], "must_be_text")


def _read_form(body: bytes, mime_type: str, options: Mapping[str, str]) -> dict[str, str]:
    if mime_type == "application/x-www-form-urlencoded":
        return read_query(body)
    from werkzeug.exceptions import RequestEntityTooLarge
    from werkzeug.formparser import FormDataParser

    parser = FormDataParser(
        stream_factory=_in_memory, max_form_memory_size=MAX_BODY, max_form_parts=MAX_PARAMETERS, silent=False
    )
    try:
        _, form, files = parser.parse(io.BytesIO(body), mime_type, len(body), dict(options))
    except (ValueError, RequestEntityTooLarge):
        raise _invalid("body", "not_form") from None
    if files:
        raise _invalid(str(next(iter(files)))[:40], "is_file")
    pairs = [(name, value) for name, values in form.lists() for value in values]
    if any(name is None for name, _ in pairs):  # the parser's types do not say so
        raise _invalid("body", "nameless_part")
    if any("\ufffd" in name + value for name, value in pairs):
        raise _invalid("body", "not_utf8")
    return _once(pairs)


def _in_memory(*_: object, **__: object) -> io.BytesIO:
    """Return a place for a file of a form. The file is refused later, and a body is small."""
    return io.BytesIO()


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name in given:
            raise _given_twice(name)
        given[name] = value
    return given


def _given_twice(name: str) -> Refusal:
    return _invalid(name[:40], "given_twice")


def _invalid(name: str, code: str, **values: int) -> Refusal:
    name = encodable(name)  # the name itself may have a lone surrogate
    return Refusal(RefusalCode.INVALID_PARAMETER, Reason(code, {"name": name, **values}), name)
