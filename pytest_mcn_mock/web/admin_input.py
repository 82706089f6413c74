"""What the admin API is given: JSON bodies and query strings, turned into the domain's values.

Every mistake is a Refusal ``invalid_parameter`` that names the field, or the UsageError of the value that cannot be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace
from werkzeug.http import parse_etags

from pytest_mcn_mock.certificates import read_trust
from pytest_mcn_mock.errors import Refusal, RefusalCode, UsageError, nearest
from pytest_mcn_mock.model.faults import Fault, fault_kind
from pytest_mcn_mock.model.money import Method, Tariff, parse_roubles, tariff_from_roubles
from pytest_mcn_mock.model.outcomes import Ending, Outcome, OutcomeRule, ending
from pytest_mcn_mock.model.webhooks import Subscription, WebhookMethod, make_subscription
from pytest_mcn_mock.web.admin_views import MASK
from pytest_mcn_mock.web.http import Request, etag_of
from pytest_mcn_mock.web.parameters import read_json, read_query

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
_INTEGER = re.compile(r"[0-9]{1,16}", re.ASCII)
_ROUBLES = re.compile(r"-?[0-9]{1,14}(\.[0-9]{1,2})?", re.ASCII)
_T = TypeVar("_T")

WEBHOOK = {
    "url": str,
    "body": list,
    "method": str,
    "headers": dict,
    "query": dict,
    "constants": dict,
    "retry": bool,
    "never_disable": bool,
    "cacert": str,
    "insecure": bool,
    "enabled": bool,
}
ENDING = {"outcome": str, "q931_status": int}
_RULE = {"login_did": str, "delay_s": (int, float), **ENDING}
_FAULT = {
    "kind": str,
    "times": int,
    "probability": (int, float),
    "status": int,
    "delay_s": (int, float),
    "jitter_s": (int, float),
    "accepted": bool,
}
_NAMES = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    (int, float): "a number",
    (str, int): "text or a whole number",
}
Kinds = Mapping[str, Any]
"""The fields of an object, with the type or types of each."""


def read_object(request: Request, kinds: Kinds) -> dict[str, Any]:
    """The request's JSON object, its fields known and of their types; no body is an empty object.

    Raises Refusal, ``payload_too_large`` too. A field that is null is as if not given.
    """
    return check_object(read_json(request) if request.body != b"" else {}, kinds, "the body")


def check_object(content: Any, kinds: Kinds, place: str) -> dict[str, Any]:
    """The fields of an object that are given; Refusal for what is no object, and for a field that cannot be."""
    if not isinstance(content, dict):
        raise _invalid("body", f"{place} must be a JSON object")
    for name, value in content.items():
        if name not in kinds:
            raise _invalid(name[:40], f"{name[:40]!r} is unknown in {place}; {nearest(name, list(kinds))}")
        kind = kinds[name]
        is_bool = isinstance(value, bool)
        if value is not None and (is_bool is not (kind is bool) or not isinstance(value, kind)):
            raise _invalid(name, f"{name} must be {_NAMES[kind]}")
    return {name: value for name, value in content.items() if value is not None}


def read_roubles(value: str | int, name: str) -> int:
    """Kopecks from an amount in roubles, a whole number or text such as "10.00"; UsageError for anything else."""
    kopecks = parse_roubles(value, name=name)
    if isinstance(value, str) and not _ROUBLES.fullmatch(value):
        raise UsageError(f'{name} is {value[:40]!r}; write roubles in digits, such as "10.00"')
    return kopecks


def read_tariff(content: Mapping[str, Any], default: Tariff) -> Tariff:
    """A tariff from prices in roubles. A price that is null, or not given, is as in ``default``."""
    given = {name: price for name, price in content.items() if price is not None}
    if isinstance(given.get("flash_call"), dict):
        given["flash_call"] = {name: price for name, price in given["flash_call"].items() if price is not None}
    tariff = tariff_from_roubles(given, default)
    for name, price in {**given.get("flash_call", {}), **given}.items():
        if name != "flash_call":
            read_roubles(price, name)
    return tariff


def read_method(content: Mapping[str, Any]) -> Method:
    """The method of a call to place; Refusal for none and for an unknown one."""
    name = content.get("method")
    if name is None:
        raise Refusal(RefusalCode.MISSING_PARAMETER, f"method is required: {' or '.join(Method)}", "method")
    try:
        return Method(name)
    except ValueError:
        raise _invalid("method", f"method {name[:40]!r} is unknown; {nearest(name, list(Method))}") from None


def read_items(request: Request, read: Callable[[Any, str], _T]) -> list[_T]:
    """The items of a list: a JSON array, or the object that shows such a list."""
    content = read_json(request)
    if isinstance(content, dict):
        content = check_object(content, {"items": list, "next": int}, "the body").get("items")
    if not isinstance(content, list):
        raise _invalid("items", "the body must be a list, or an object with the list in items")
    return [read(item, f"items[{i}]") for i, item in enumerate(content)]


def read_ending(content: Mapping[str, Any], unavailable_cause: int) -> Ending | None:
    """How a call ends, from ``outcome`` or ``q931_status``; None where neither is given.

    Both may be given, as a rule is shown with both, if they say the same.
    """
    outcome, cause = content.get("outcome"), content.get("q931_status")
    if outcome is None and cause is None:
        return None
    if outcome is None or cause is None:
        return ending(outcome, cause, unavailable_cause=unavailable_cause)
    how = ending(outcome, unavailable_cause=cause if outcome == Outcome.UNAVAILABLE else unavailable_cause)
    if how.q931_status != cause or how.outcome != outcome:
        raise UsageError(f"outcome {outcome} has q931_status {how.q931_status}, not {cause}; give one of the two")
    return how


def read_rule(content: Any, place: str, unavailable_cause: int) -> OutcomeRule:
    """An outcome rule."""
    given = check_object(content, _RULE, place)
    how = read_ending(given, unavailable_cause)
    if how is None:
        raise _invalid("outcome", f"{place} needs an outcome or a q931_status")
    return OutcomeRule(how, given.get("login_did", "*"), given.get("delay_s"))


def read_fault(content: Any, place: str) -> Fault:
    """A fault to switch on. ``times`` null is every time, and left out once."""
    given = check_object(content, _FAULT, place)
    if "kind" not in given:
        raise Refusal(RefusalCode.MISSING_PARAMETER, f"{place} needs a kind", "kind")
    times = content.get("times", 1)
    return Fault(**{**given, "kind": fault_kind(given["kind"]), "times": times})


def read_webhook(content: Any, place: str = "the body") -> Subscription:
    """A new webhook."""
    given = check_object(content, WEBHOOK, place)
    if "url" not in given:
        raise Refusal(RefusalCode.MISSING_PARAMETER, f"{place} needs a url", "url")
    _check_method(given)
    enabled = given.pop("enabled", True)
    trust = read_trust(given.pop("cacert", None), insecure=given.pop("insecure", False))
    return replace(make_subscription(**given, trust=trust), enabled=enabled)


def change_webhook(subscription: Subscription, content: Any) -> Subscription:
    """The webhook with the fields that are given. A header whose value is ``***``, as it is shown, keeps its value.

    One that is enabled starts to count its failures anew.
    """
    given = check_object(content, WEBHOOK, "the body")
    _check_method(given)
    trust = subscription.trust
    if "cacert" in given or given.get("insecure", trust.insecure) != trust.insecure:
        trust = read_trust(given.pop("cacert", trust.cacert), insecure=given.pop("insecure", trust.insecure))
    given.pop("insecure", None)
    now = {name: getattr(subscription, name) for name in WEBHOOK if name not in ("cacert", "insecure")}
    headers = given.get("headers")
    if headers is not None:
        given["headers"] = {
            name: subscription.headers.get(name, value) if value == MASK else value for name, value in headers.items()
        }
    was_enabled = now.pop("enabled")
    enabled = given.pop("enabled", was_enabled)
    made = make_subscription(**{**now, **given, "trust": trust})
    return replace(
        made,
        number=subscription.number,
        enabled=enabled,
        failed_in_a_row=0 if content.get("enabled") else subscription.failed_in_a_row,
        disabled_at=None if enabled else subscription.disabled_at,
    )


def _check_method(given: Mapping[str, Any]) -> None:
    """Refuse another spelling than POST and GET, which Python code may use."""
    method = given.get("method", WebhookMethod.POST)
    if method not in tuple(WebhookMethod):
        raise _invalid("method", f"method {method[:40]!r} is unknown; it is {' or '.join(WebhookMethod)}")


def check_precondition(request: Request, tagged: Any) -> None:
    """Raise Refusal ``precondition_failed`` if If-Match asks for another state than ``tagged`` (RFC 9110, 13.1.1)."""
    if_match = request.headers.get("if-match")
    if if_match is not None and not parse_etags(if_match).contains(etag_of(tagged).strip('"')):
        raise Refusal(
            RefusalCode.PRECONDITION_FAILED, "it was changed since it was read; read it again, and then change it"
        )


def read_list_parameters(request: Request, known: Sequence[str]) -> dict[str, str]:
    """The query's parameters; Refusal for one that is unknown, and for one that is empty."""
    given = read_query(request.query)
    for name, value in given.items():
        if name not in known:
            raise _invalid(name[:40], f"{name[:40]!r} is unknown; {nearest(name, known)}")
        if not value:
            raise _invalid(name, f"{name} is empty; give a value, or leave the parameter out")
    return given


def read_order(parameters: Mapping[str, str]) -> bool:
    """Whether the newest come first."""
    order = parameters.get("order", "oldest")
    if order not in ("oldest", "newest"):
        raise _invalid("order", f"order {order[:40]!r} is unknown; it is oldest or newest")
    return order == "newest"


def read_integer(parameters: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number from 0 to ``most``."""
    text = parameters.get(name)
    if text is None:
        return default
    if not _INTEGER.fullmatch(text) or int(text) > most:
        raise _invalid(name, f"{name} must be a whole number from 0 to {most}")
    return int(text)


def _invalid(name: str, message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID_PARAMETER, message, name)
