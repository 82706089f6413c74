"""What a dialect says of itself: one table. Each module beside this one has one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.model.assumptions import Assumptions, NumberFormat
from pytest_mcn_mock.model.calls import Call, CallOrder
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.numbering import NUMBER_FORM, clean_pasted, is_code, is_number

Parameters = Mapping[str, str]
"""The parameters of a request that are not empty."""


class ErrorForm(NamedTuple):
    """The HTTP status of a refusal, and the JSON value of its body."""

    status: int
    body: Any


@dataclass(frozen=True, slots=True)
class DialectTable:
    """One dialect.

    ``hosts`` are the vendor's that serve it, the best known first. ``base_path`` is the path of the base URL that an
    application is configured with, and everything under ``root`` is the dialect's. ``methods`` are the paths of its
    methods under ``root``, as werkzeug's rules; ``account_id`` is their only variable. ``account`` finds the account in
    a path; None if no path has one.

    ``read_order`` raises Refusal ``missing_parameter`` or ``invalid_parameter``, which names the parameter. ``accept``
    is the JSON value of a 200. ``refuse`` is the answer to a request that is refused, with a status in place of the
    refusal's own if one is given.
    """

    name: Dialect
    hosts: tuple[str, ...]
    base_path: str
    root: str
    methods: Mapping[Method, str]
    account: re.Pattern[str] | None
    read_order: Callable[[Method, Parameters, Assumptions], CallOrder]
    accept: Callable[[Call, Assumptions], Any]
    refuse: Callable[[Refusal, Assumptions, int | None], ErrorForm]

    @property
    def vendor_url(self) -> str:
        """The vendor's base URL."""
        return f"https://{self.hosts[0]}{self.base_path}"

    def path(self, method: Method, account_id: str) -> str:
        """Return the path of a method, for an account."""
        return f"{self.root}/{self.methods[method].replace('<account_id>', account_id)}"

    def spelling(self, method: Method) -> str:
        """Return the method's name in this dialect: the last part of its path."""
        return self.methods[method].rpartition("/")[2]

    def has_path(self, path: str) -> bool:
        """Return whether the path is the dialect's, also if there is no such route."""
        return path.startswith(f"{self.root}/")

    def account_of(self, path: str) -> str | None:
        """Return the account that a path names, or None."""
        found = None if self.account is None else self.account.match(path)
        return found[1] if found else None


def read_number(parameters: Parameters, name: str, assumptions: Assumptions) -> str:
    """Return a number. Raises Refusal ``missing_parameter`` or ``invalid_parameter``."""
    given = parameters.get(name)
    if given is None:
        raise Refusal(RefusalCode.MISSING_PARAMETER, f"{name} is required", name)
    number = clean_pasted(given) if assumptions.number_format == NumberFormat.PASTED else given
    if not is_number(number):
        raise Refusal(RefusalCode.INVALID_PARAMETER, f"{name} must be {NUMBER_FORM}", name)
    return number


def read_code(parameters: Parameters) -> str | None:
    """Return the code, None if there is none. Raises Refusal ``invalid_parameter``."""
    code = parameters.get("code")
    if code is not None and not is_code(code):
        raise Refusal(RefusalCode.INVALID_PARAMETER, "code must be four digits, such as 0042", "code")
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
