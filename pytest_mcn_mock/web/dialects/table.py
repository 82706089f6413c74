"""The description of a dialect, as one table. Each dialect's module has one."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

from msgspec import Struct

from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.model.assumptions import Assumptions, NumberFormat
from pytest_mcn_mock.model.calls import Call, CallOrder, Terms
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.numbering import EXAMPLE_NUMBER, NUMBER_FORM, clean_pasted, is_code, is_number
from pytest_mcn_mock.model.requests import Level, RequestRules, Rule
from pytest_mcn_mock.reasons import Reason

Parameters = Mapping[str, str]
"""The parameters of a request that are not empty."""


DIGITS: Final = f"write a number in international form, with digits only, such as {EXAMPLE_NUMBER}"
"""The hint for a number in another form."""
_SCHEMA: Final = "schemas/common.schema.json#/$defs"
VALUE_RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "json_value": Rule(
            Level.ASSUMED,
            "{name} as a number, null or true in a JSON body",
            f"{_SCHEMA}/json_value",
            'send text, such as "0042"',
        ),
        "pasted_number": Rule(
            Level.ASSUMED,
            "{name} with characters other than digits",
            f"{_SCHEMA}/pasted_number",
            DIGITS,
        ),
        "number_without_country": Rule(
            Level.ASSUMED,
            "{name} of ten digits, without its country's code,",
            f"{_SCHEMA}/number_without_country",
            DIGITS,
        ),
        "domestic_number": Rule(
            Level.ASSUMED,
            "{name} of eleven digits that begins with 8, as it is dialled inside Russia,",
            f"{_SCHEMA}/domestic_number",
            "write 7 in place of the 8: Russian numbers begin with 7, such as 79157777777",
        ),
    }
)
"""Undocumented ways to write a value. They are the same in every dialect."""


class ErrorForm(Struct, frozen=True):
    """The HTTP status of a refusal, and the JSON value of its body."""

    status: int
    body: Any


class ErrorSettings(Protocol):
    """How a dialect refuses."""

    @property
    def error_template(self) -> Mapping[str, Any]:
        """The body of a refusal, with words for its values."""
        ...

    def status_of(self, code: RefusalCode) -> int:
        """Return the HTTP status of a refusal."""
        ...


class DialectTable(Struct, frozen=True, eq=False):
    """One dialect."""

    name: Dialect
    hosts: tuple[str, ...]
    """Where the vendor serves it, the best known host first."""
    base_path: str
    """The path of the base URL that an application is configured with."""
    root: str
    """Everything under this path is the dialect's."""
    methods: Mapping[Method, str]
    """The paths of the methods under ``root``, as those of ``Routes``; ``account_id`` is the only variable, if any."""
    route: Callable[[str], str]
    """Returns the path that is looked for. Raises Refusal for a path that the fake does not serve."""
    account: re.Pattern[str] | None
    """Finds the account in a path; None if no path has one: then only the token names it."""
    account_header: str
    """A header that may name the token's account; empty if there is none."""
    takes_basic: bool
    """Whether the password of ``Authorization: Basic`` is a token too, as that of ``Bearer`` is."""
    takes_user_hash: bool
    """Whether the parameter ``user_hash`` is a token if there is no Authorization header."""
    fidelity: RequestRules
    """How well the parts of a request are known."""
    read_order: Callable[[Method, Parameters, Assumptions], CallOrder]
    """Raises Refusal ``missing_parameter`` or ``invalid_parameter``, which names the parameter."""
    accept: Callable[[Call, Assumptions], Any]
    """Returns the JSON value of the answer to an order that is accepted."""
    terms: Callable[[Assumptions], Terms]
    """Returns how its calls are decided."""
    errors: Callable[[Assumptions], ErrorSettings]
    """Returns the settings of its refusals."""
    settings_prefix: str
    """The prefix of the names of these settings in ``[assumed]``, such as ``paidmethods.``."""

    def refuse(self, refusal: Refusal, assumptions: Assumptions, status: int | None = None) -> ErrorForm:
        """Return the answer to a refused request, with ``status`` in place of the refusal's own if it is given."""
        errors = self.errors(assumptions)
        status = status or errors.status_of(refusal.code)
        values = {
            "$status": status,
            "$code": refusal.code,
            "$number": assumptions.number_of(refusal.code),
            "$message": refusal.message,
            "$parameter": refusal.parameter,
        }
        return ErrorForm(status, fill(errors.error_template, values))

    @property
    def vendor_url(self) -> str:
        """The vendor's base URL."""
        return f"https://{self.hosts[0]}{self.base_path}"

    def path(self, method: Method, account_id: str = "") -> str:
        """Return the path of a method, for an account if paths name one."""
        return f"{self.root}/{self.methods[method].replace('<account_id>', account_id)}"

    def token_in(self, authorization: str) -> str:
        """Return the token in an Authorization header; empty if there is none."""
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return given.strip()
        if not self.takes_basic or scheme.lower() != "basic":
            return ""
        try:
            return b64decode(given.strip(), validate=True).decode().partition(":")[2]
        except ValueError:
            return ""

    def has_path(self, path: str) -> bool:
        """Return whether the path belongs to the dialect, also if it has no such route."""
        return path.startswith(f"{self.root}/")

    def account_of(self, path: str) -> str | None:
        """Return the account that a path names, or None."""
        found = None if self.account is None else self.account.match(path)
        return found[1] if found else None


def read_number(parameters: Parameters, name: str, assumptions: Assumptions) -> str:
    """Return a number. Raises Refusal ``missing_parameter`` or ``invalid_parameter``."""
    given = parameters.get(name)
    if given is None:
        raise Refusal(RefusalCode.MISSING_PARAMETER, Reason("required", {"name": name}), name)
    number = clean_pasted(given) if assumptions.number_format == NumberFormat.PASTED else given
    if not is_number(number):
        raise Refusal(RefusalCode.INVALID_PARAMETER, Reason("number_form", {"name": name, "form": NUMBER_FORM}), name)
    return number


def read_code(parameters: Parameters) -> str | None:
    """Return the code, None if there is none. Raises Refusal ``invalid_parameter``."""
    code = parameters.get("code")
    if code is not None and not is_code(code):
        raise Refusal(RefusalCode.INVALID_PARAMETER, Reason("code"), "code")
    return code


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """Return the template with each text that is a key of ``values`` replaced by the value."""
    if isinstance(template, str):
        return values.get(template, template)
    if isinstance(template, list):
        return [fill(item, values) for item in template]
    if hasattr(template, "items"):
        return {name: fill(value, values) for name, value in template.items()}
    return template
