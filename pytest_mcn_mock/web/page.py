"""The monitoring page at ``/__admin/``: a document, and the scripts, styles and icon that it loads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from pytest_mcn_mock.errors import NotFound
from pytest_mcn_mock.model.cdr import DEFAULT_VARIABLES, VARIABLES, FilterOperator
from pytest_mcn_mock.model.deliveries import DeliveryState
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.faults import FaultKind
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.outcomes import MAGIC_NUMBERS, Outcome
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.web.admin_types import EVENTS
from pytest_mcn_mock.web.dialects import DIALECTS
from pytest_mcn_mock.web.guard import ADMIN_PATH
from pytest_mcn_mock.web.http import Endpoints, Request, Response, dump

SECURITY_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
)
"""What goes with every file: no script but ours runs, nothing is loaded from elsewhere, and nobody frames the page."""

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_DOCUMENT: Final = "index.html"


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it is answered."""

    body: bytes
    headers: Mapping[str, str]


class Page:
    """Answers with the files that are packaged beside this module. They are read once, at the first request."""

    def endpoints(self) -> Endpoints:
        """Every endpoint by its method and path."""
        return {("GET", ""): self.document, ("GET", "static/<name>"): self.static}

    async def document(self, request: Request) -> Response:
        """Return the document. Its addresses are relative: a path without the slash at the end is redirected."""
        if not request.path.endswith("/"):
            return Response(308, b"", {"Location": f"{ADMIN_PATH.rpartition('/')[2]}/", **SECURITY_HEADERS})
        return _answer(request, _files()[_DOCUMENT])

    async def static(self, request: Request, name: str) -> Response:
        """Return a file of the page. Raises NotFound if there is none of that name."""
        file = _files().get(name)
        if file is None:
            raise NotFound(Reason("file_not_found", {"name": repr(name[:80])}))
        return _answer(request, file)


def preload() -> None:
    """Read the files of the page now, so that no request has to."""
    _files()


def _answer(request: Request, file: _File) -> Response:
    """Return the file, or 304 if the client has it already."""
    known = request.headers.get("if-none-match", "")
    tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
    if file.headers["ETag"] in tags or "*" in tags:
        return Response(304, b"", {name: value for name, value in file.headers.items() if name != "Content-Type"})
    return Response(200, file.body, file.headers)


@cache
def _files() -> Mapping[str, _File]:
    folder = files("pytest_mcn_mock.web").joinpath("page")
    bodies = {entry.name: entry.read_bytes() for entry in folder.iterdir()}
    found = {}
    for name, body in {**bodies, "words.js": _words()}.items():
        content_type = _TYPES.get("." + name.rpartition(".")[2])
        if content_type is not None:
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            found[name] = _File(body, {"Content-Type": content_type, "ETag": tag, **SECURITY_HEADERS})
    return found


def _words() -> bytes:
    """Return a script with the package's lists of words that the page offers."""
    lists = {
        "DEFAULT_VARIABLES": DEFAULT_VARIABLES,
        "DELIVERY_STATES": list(DeliveryState),
        "DIALECTS": list(Dialect),
        "EVENTS": list(EVENTS),
        "FAULTS": list(FaultKind),
        "FILTER_OPERATORS": list(FilterOperator),
        "MAGIC_NUMBERS": [
            (number, magic.outcome or "held")
            for number, magic in MAGIC_NUMBERS.items()
            if magic.refusal is None and magic.q931_status is None
        ],
        "OUTCOMES": list(Outcome),
        "SERVICES": {
            table.name: {
                "vendor": table.vendor_url,
                "base": table.base_path,
                "paths": {method: table.path(method, "{account_id}") for method in Method},
            }
            for table in DIALECTS
        },
        "VARIABLES": list(VARIABLES),
    }
    return b"".join(b"export const %b = %b;\n" % (name.encode(), dump(words)) for name, words in lists.items())
