"""The options that describe a webhook, by the names of its settings, and how their values are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar

import click

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.cdr import DEFAULT_VARIABLES
from pytest_mcn_mock.model.webhooks import DataType, Values, WebhookMethod, header_name

_T = TypeVar("_T")


def form_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for the form in which an event is sent. The command gets them in a dictionary ``form``: arguments
    of ``make_subscription``.
    """

    @click.option(
        "--method", type=click.Choice([str(m) for m in WebhookMethod], case_sensitive=False), default="POST",
        show_default=True, help="How an event is sent; with GET the variables are in the query.",
    )  # fmt: skip
    @click.option("--all-variables", is_flag=True, help="Send the whole event in its envelope.")
    @click.option(
        "--data-type", type=click.Choice([str(d) for d in DataType]), default=str(DataType.JSON), show_default=True,
        help="The form of a body: JSON, or the text of --template.",
    )  # fmt: skip
    @click.option(
        "--template", metavar="TEXT",
        help="The body of the data type text, with ${{name}} for a variable; write it in single quotes.",
    )  # fmt: skip
    @click.option(
        "--values", type=click.Choice([str(v) for v in Values]), default=str(Values.TYPED), show_default=True,
        help="Whether the values of listed variables keep their types or are all text.",
    )  # fmt: skip
    @wraps(command)
    def run(
        *arguments: Any,
        method: str,
        all_variables: bool,
        data_type: str,
        template: str | None,
        values: str,
        **others: Any,
    ) -> Any:
        form = {
            "method": method,
            "all_variables": all_variables,
            "data_type": data_type,
            "template": template,
            "values": values,
        }
        return command(*arguments, form=form, **others)

    return run


def webhook_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a webhook's records. The command gets them in a dictionary ``settings``: arguments of
    ``make_subscription``. Raise UsageError, which shows no value that may be a secret, for a value that is not valid.
    """

    @click.option(
        "--body", metavar="VARIABLES",
        help=f"The variables of the CDR, separated by commas.  [default: {','.join(DEFAULT_VARIABLES)}]",
    )  # fmt: skip
    @click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header; can be repeated.")
    @click.option("--query", multiple=True, metavar="NAME=VALUE", help="A query parameter; can be repeated.")
    @click.option(
        "--constant", "constants", multiple=True, metavar="NAME=VALUE",
        help="A constant of your own: text, or with := a number or boolean; can be repeated.",
    )  # fmt: skip
    @form_options
    @wraps(command)
    def run(
        *arguments: Any,
        form: dict[str, Any],
        body: str | None,
        headers: Iterable[str],
        query: Iterable[str],
        constants: Iterable[str],
        **others: Any,
    ) -> Any:
        if body is not None and (form["all_variables"] or form["data_type"] == DataType.TEXT):
            raise UsageError("--body lists variables: leave it out with --all-variables and with --data-type text")
        settings = {
            **form,
            "headers": _once(map(_header, headers), "--header"),
            "query": _once((_pair(text, "--query") for text in query), "--query"),
            "constants": _once(map(_constant, constants), "--constant"),
        }
        if body is not None:
            settings["body"] = [name.strip() for name in body.split(",") if name.strip()]
        return command(*arguments, settings=settings, **others)

    return run


def _once(pairs: Iterable[tuple[str, _T]], option: str) -> dict[str, _T]:
    """Return the pairs by name. Raise UsageError for a name that is given twice: only one value could be sent."""
    given: dict[str, _T] = {}
    for name, value in pairs:
        if name in given:
            raise UsageError(f"{option} {header_name(name)!r} is given twice; leave one out")
        given[name] = value
    return given


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise UsageError("a --header has no colon; write it as 'Name: value', in quotes")
    return name.strip(), value.strip()


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"a {option} has no name or no =; write it as NAME=VALUE, in quotes")
    return name, value


def _constant(text: str) -> tuple[str, str | int | bool]:
    name, value = _pair(text, "--constant")
    if not name.endswith(":"):
        return name, value
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = None
    if not isinstance(parsed, int):
        raise UsageError(f"--constant {name[:40]!r}: after := comes a whole number, true or false")
    return name.removesuffix(":"), parsed
