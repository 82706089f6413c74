"""A call's record (CDR): the event "FlashCall" of the vendor's catalogue, of a call that has ended.

Source: handbook, "Каталог событий MCN Telecom — Авторизация по звонку" (2026-09-27): the names, types and formats of 27
variables, and a sample of the whole event. The article of 2022 documents three of the variables and their values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from hashlib import blake2b, md5
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct

from pytest_mcn_mock.errors import UsageError, nearest
from pytest_mcn_mock.model.assumptions import Assumptions, MissingFinalStatus
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.checks import MAX_SHOWN, check_bool, check_mapping, is_short, show
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.text import is_encodable

EVENT_TYPE: Final = "FlashCall"
DEFAULT_VARIABLES = ("verification_call_uuid", "q931_status", "final_status")
"""The three variables that the article documents."""
CdrValue = str | int | bool
"""A constant of a webhook. A variable may also be a list, an object or null."""

_SYSTEM: Final = "213"
"""The name of the system in ``linkedid``, as in both samples."""
_SIP_IP: Final = "10.244.117.203"
_FIRST_SEQUENCE: Final = 100_000
_MISSING: Final = {
    MissingFinalStatus.ABSENT: UNSET,
    MissingFinalStatus.EMPTY: "",
    MissingFinalStatus.NULL: None,
}


class Cdr:
    """The record of a call that has ended. Its values depend only on the call: the same call has the same record."""

    def __init__(self, call: Call, assumptions: Assumptions) -> None:
        self.call = call
        self.assumptions = assumptions

    def value(self, name: str) -> Any:
        """Return the value of a variable of ``VARIABLES``: UNSET if the record does not have it."""
        return VARIABLES[name](self)

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the variables of these names that the record has, in their order."""
        return {name: value for name in names if (value := VARIABLES[name](self)) is not UNSET}

    def text(self, name: str) -> str:
        """Return the value of a variable as text: one that is not text as its JSON, a missing one as an empty text."""
        return text_of(self.value(name))

    @property
    def q931_status(self) -> int:
        """The Q.850 cause."""
        return 0 if self.call.ending is None else self.call.ending.q931_status

    @property
    def final_status(self) -> Any:
        """The final status. If the article documents none, ``missing_final_status`` decides."""
        known = self.call.ending and self.call.ending.final_status
        return _MISSING[self.assumptions.missing_final_status] if known is None else known

    @property
    def account_id(self) -> int:
        """The client's account."""
        return int(self.call.account_id)

    @cached_property
    def linked_ids(self) -> tuple[str, str, str]:
        """The ids ``linkedid``, ``last_linked_id`` and ``uniqueid``: as in both samples they share the system and the
        second in which the call was placed, and their sequences are n, n + 1 and n + 4.
        """
        at, first = int(self.call.placed_at), _FIRST_SEQUENCE + self._drawn[0] % 9_000_000
        return f"{_SYSTEM}-{at}.{first}", f"{_SYSTEM}-{at}.{first + 1}", f"{_SYSTEM}-{at}.{first + 4}"

    @property
    def call_leg_id(self) -> int:
        """The leg's id."""
        return 1_000_000 + self._drawn[1] % 9_000_000

    @cached_property
    def call_id(self) -> str:
        """The SIP call id: 32 lower-case hex digits, ``@``, an address. Seen in one entry of the vendor's log."""
        return f"{self._drawn[2]:016x}{self._drawn[3]:016x}@{_SIP_IP}"

    @cached_property
    def call_id_md5(self) -> str:
        """The MD5 of the call id, in the form of a UUID; equal to ``call4raw.signalling_call_id``."""
        return str(UUID(md5(self.call_id.encode(), usedforsecurity=False).hexdigest()))

    @property
    def channame(self) -> str:
        """The name of the Asterisk channel."""
        return f"SIP/sip-node1-{self._drawn[4] % 2**32:08x}"

    @property
    def idempotency_key(self) -> str:
        """A UUID (version 4), the same each time the record is sent. A record with another ending has another key."""
        return _uuid(self._digest("key", self.q931_status, self.final_status))

    @property
    def call4raw(self) -> dict[str, Any]:
        """The billing record. The vendor documents none of its keys. Values that no sample explains are fixed."""
        call, (linked, leg) = self.call, self._drawn[5:7]
        at = int(call.placed_at)
        row = linked % 2_000_000_000
        return {
            **_CALL4RAW,
            "connect_time": at * 1_000_000,
            "id": row,
            "peer_id": row + 1,
            "dst_number": call.login_did,
            "hash": _uuid(self._digest("hash"), version=None),
            "disconnect_cause": self.q931_status,
            "numA": call.caller_did,
            "cdr_id": leg % 1_000_000_000,
            "numB": call.login_did,
            "src_number": call.caller_did,
            "signalling_call_id": self.call_id_md5,
            "account_id": self.assumptions.operator_account_id,
            "mcn_callid": str(UUID(f"00{at & 0xFFFFFFFF:08x}008000{self._digest('mcn_callid').hex()[:16]}")),
        }

    def whole_event(self, now: float) -> dict[str, Any]:
        """Return the whole event in its envelope, with the keys of the vendor's sample in their order.

        ``now`` is the moment of the event, in seconds since the epoch. The sample's ``created_at`` is
        three hours ahead of the times in ``data``: it is Moscow's time, although it ends in ``Z``.
        """
        at = datetime.fromtimestamp(now, UTC) + timedelta(seconds=self.assumptions.created_at_offset_s)
        return {
            "account_id": self.account_id,
            "event_type": EVENT_TYPE,
            "created_at": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
            "idempotencyKey": self.idempotency_key,
            "data": self.values(WHOLE_EVENT),
        }

    @cached_property
    def _drawn(self) -> Sequence[int]:
        # The uuid is drawn from the account's seed, so values that are drawn from the uuid depend on the seed too.
        digest = self._digest("ids")
        return [int.from_bytes(digest[i : i + 8], "big") for i in range(0, 56, 8)]

    def _digest(self, *what: object) -> bytes:
        return blake2b("/".join(map(str, (self.call.verification_call_uuid, *what))).encode()).digest()


def text_of(value: Any) -> str:
    """Return a value of a record as text: one that is not text as its JSON, UNSET as an empty text."""
    if isinstance(value, str):
        return value
    return "" if value is UNSET else _encode(value)


def _encode(value: Any) -> str:
    """Return JSON with the spaces and characters of ``json.dumps``, which takes four times as long."""
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()


def _uuid(digest: bytes, *, version: int | None = 4) -> str:
    return str(UUID(bytes=digest[:16], version=version))


def _time(seconds: float | None) -> str:
    """Return a time as the samples have it: ISO 8601, up to six digits of a fraction, no zeros at its end."""
    text = datetime.fromtimestamp(seconds or 0.0, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{text.rstrip('0').rstrip('.')}Z"


VARIABLES: Mapping[str, Callable[[Cdr], Any]] = MappingProxyType(
    {
        "linkedid": lambda cdr: cdr.linked_ids[0],
        "stop_time": lambda cdr: _time(cdr.call.ended_at),
        "apiRaws": lambda _: [],
        "q931_status": lambda cdr: cdr.q931_status,
        "number": lambda cdr: cdr.call.login_did,
        "final_status": lambda cdr: cdr.final_status,
        "sip_ip": lambda _: _SIP_IP,
        "sip_call_hash_id": lambda cdr: cdr.linked_ids[2],
        "uniqueid": lambda cdr: cdr.linked_ids[2],
        "verification_call_uuid": lambda cdr: cdr.call.verification_call_uuid,
        "extra_info_id": lambda cdr: _encode({"autodial_uuid": cdr.call.verification_call_uuid}),
        "object_type": lambda _: "pstn",
        "sip_port": lambda _: "5060",
        "eventType": lambda _: EVENT_TYPE,
        "server_id": lambda _: 36,
        "call_id": lambda cdr: cdr.call_id,
        "call_leg_id": lambda cdr: cdr.call_leg_id,
        "accountId": lambda cdr: cdr.account_id,
        "vpbx_id": lambda _: 0,
        "start_time": lambda cdr: _time(cdr.call.placed_at),
        "account_id": lambda cdr: cdr.assumptions.operator_account_id,
        "orig": lambda _: False,
        "call4raw": lambda cdr: cdr.call4raw,
        "call_id_md5": lambda cdr: cdr.call_id_md5,
        "channame": lambda cdr: cdr.channame,
        "last_linked_id": lambda cdr: cdr.linked_ids[1],
        "hangup_cause": lambda _: "",
        "did": lambda cdr: cdr.call.caller_did,
    }
)
"""Every variable and its value, in the order of the catalogue's table; only the samples have ``call4raw``.

``accountId`` is the client's account, ``account_id`` another one: probably the vendor's, which owns the number.
"""
WHOLE_EVENT: Final = tuple(name for name in VARIABLES if name not in ("call_id", "call_id_md5"))
"""The variables of the catalogue's sample, in its order. The other two are optional: only the vendor's log has them."""


_BEGIN, _END = "${{", "}}"


def fill_in(template: str, cdr: Cdr) -> str:
    """Return a checked template with each ``${{name}}`` replaced by the variable's value as text."""
    text, *parts = template.split(_BEGIN)
    for part in parts:
        variable, _, rest = part.partition(_END)
        text += cdr.text(variable) + rest
    return text


def variables_in(template: str) -> list[str]:
    """Return the names in ``${{name}}``, in order."""
    return [part.partition(_END)[0] for part in template.split(_BEGIN)[1:]]


def check_template(template: str, *, name: str) -> None:
    """Raise UsageError if a ``${{name}}`` of the template is not a variable, or lacks its end."""
    for part in template.split(_BEGIN)[1:]:
        variable, end, _ = part.partition(_END)
        if not end:
            raise UsageError(Reason("variable_no_end", {"name": name}), name)
        check_variable(variable, name=name)


def check_no_variable(key: str, *, name: str) -> None:
    """Raise UsageError for a variable in a key (handbook, "POST запрос", 2026-08-11: it "приведёт к ошибке")."""
    if _BEGIN in key:
        raise UsageError(Reason("variable_in_key", {"name": name, "key": repr(key[:40])}), name)


def check_variable(variable: object, *, name: str) -> None:
    """Raise UsageError if it is not the name of a variable."""
    if not isinstance(variable, str) or variable not in VARIABLES:
        known = nearest(str(variable).strip(), list(VARIABLES))
        raise UsageError(
            Reason("variable_unknown", {"name": name, "value": repr(str(variable)[:40]), "hint": known}), name
        )


class FilterOperator(StrEnum):
    """How a condition compares ("равно", "входит в": handbook, "Фильтры веб-хуков и триггеров", 2026-08-06)."""

    EQUALS = "equals"
    IN = "in"


MAX_LISTED = 256
CONDITION_EXAMPLE: Final = '{"variable": "q931_status", "operator": "in", "value": [16, 17]}'
_KEYS: Final = ("variable", "operator", "value", "not")


class Condition(Struct, frozen=True, rename={"is_negated": "not"}):
    """A condition of a webhook's filter. ``value`` is a list for ``in``. Values are compared as text."""

    variable: str
    operator: FilterOperator
    value: CdrValue | tuple[CdrValue, ...]
    is_negated: bool = False

    def holds(self, cdr: Cdr) -> bool:
        """Return whether the condition holds for a record."""
        wanted = self.value if isinstance(self.value, tuple) else (self.value,)
        return (cdr.text(self.variable) in map(text_of, wanted)) != self.is_negated

    def reason(self) -> Reason:
        """Return the condition as a part of a reason."""
        negation = "not_" if self.is_negated else ""
        return Reason(f"condition_{negation}{self.operator}", {"variable": self.variable, "value": _shown(self.value)})

    def __str__(self) -> str:
        return str(self.reason())


def make_condition(given: Condition | Mapping[str, Any]) -> Condition:
    """Return a condition from ``{"variable": …, "operator": …, "value": …, "not": …}``; ``operator`` is ``equals`` and
    ``not`` is false if it is not given. Raises UsageError, naming the key, if something is not valid.
    """
    if isinstance(given, Condition):
        given = {"variable": given.variable, "operator": given.operator, "value": given.value, "not": given.is_negated}
    given = check_mapping(given, name="filter", example=CONDITION_EXAMPLE)
    for key in given:
        if key not in _KEYS:
            raise UsageError(
                Reason("filter_key_unknown", {"value": show(key), "hint": nearest(str(key), _KEYS)}), "filter"
            )
    if "variable" not in given or "value" not in given:
        raise UsageError(Reason("filter_incomplete", {"example": CONDITION_EXAMPLE}), "filter")
    check_variable(given["variable"], name="filter")
    operator, negated = given.get("operator", FilterOperator.EQUALS), given.get("not", False)
    if operator not in list(FilterOperator):
        raise UsageError(Reason("filter_operator", {"value": show(operator)}), "filter")
    check_bool(negated, name="filter: not")
    value = _check_value(given["value"], is_list=operator == FilterOperator.IN)
    return Condition(given["variable"], FilterOperator(operator), value, negated)


def _check_value(value: Any, *, is_list: bool) -> CdrValue | tuple[CdrValue, ...]:
    if is_list != isinstance(value, (list, tuple)):
        code = "filter_needs_list" if is_list else "filter_needs_single"
        raise UsageError(Reason(code, {"value": show(value)}), "filter")
    items = list(value) if is_list else [value]
    if not 1 <= len(items) <= MAX_LISTED:
        raise UsageError(Reason("filter_items", {"n": len(items), "most": MAX_LISTED}), "filter")
    for item in items:
        if not isinstance(item, (str, int)) or not is_short(item, MAX_LISTED) or not is_encodable(str(item)):
            raise UsageError(Reason("filter_value", {"value": show(item)}), "filter")
    return tuple(items) if is_list else value


def why_unmet(conditions: Iterable[Condition], cdr: Cdr) -> Reason | None:
    """Return which condition does not hold, and the value that it met; None if all hold."""
    for condition in conditions:
        if not condition.holds(cdr):
            value = cdr.value(condition.variable)
            values: dict[str, str | Reason] = {"variable": condition.variable, "condition": condition.reason()}
            return (
                Reason("unmet_absent", values)
                if value is UNSET
                else Reason("unmet", {**values, "value": _shown(value)})
            )
    return None


def _shown(value: Any) -> str:
    """Return a value for people. A boolean is shown as in JSON, because the condition compares that text."""
    if isinstance(value, tuple):
        text = f"[{', '.join(map(_shown, value))}]"
        return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
    return text_of(value) if isinstance(value, bool) else show(value)


_CALL4RAW: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "marketplace_id": 1,
        "mob": True,
        "is_tech_trunk": False,
        "prefix": 0,
        "is_dst_number_ported": False,
        "location_id": 1,
        "nnp_filter_orig_ids": [325],
        "package_credit": 0,
        "nnp_own_operator_id": 6720,
        "connect_time": 0,
        "subaccount_id": 0,
        "open_number_plan": False,
        "id": 0,
        "pricelist_id": 0,
        "trunk_settings_stats_id": 0,
        "nnp_region_id": 54,
        "nnp_number_range_id": 2100966,
        "stats_nnp_package_pricelist_minute_id": 0,
        "nnp_own_region_id": 6,
        "nnp_pricelist_filter_b_id": 58784,
        "package_time": 0,
        "dst_number": "",
        "is_src_number_ported": False,
        "geo_operator_id": 0,
        "hash": "",
        "disconnect_cause": 0,
        "nnp_is_mob": True,
        "interconnect_rate": 0,
        "number_service_id": 2396468,
        "numA": "",
        "our": True,
        "cdr_id": 0,
        "numB": "",
        "nnp_own_city_id": 7345,
        "geo_id": 7,
        "src_number": "",
        "nnp_pricelist_id": 991,
        "geo_mob": True,
        "is_include_vat": True,
        "nnp_own_is_mobile": False,
        "nnp_operator_id": 6720,
        "nnp_rdr_count": 0,
        "signalling_call_id": "",
        "stub_worked": False,
        "nnp_rdr_ndc": 0,
        "nnp_filter_orig_id": 0,
        "interconnect_cost": 0,
        "account_id": 0,
        "orig": True,
        "account_tariff_light_id": 0,
        "nnp_own_is_mob": False,
        "operator_id": 0,
        "destination_id": 1,
        "is_internal_trunk": False,
        "mcc": 0,
        "tax_rate": 0,
        "pbx_id": 512,
        "tax_cost": 0,
        "nnp_rdr_city_id": 0,
        "trunk_group_id": 0,
        "nnp_pricelist_filter_a_id": 5484,
        "trunk_service_id": 0,
        "nnp_ndc": 931,
        "server_id": 12,
        "nnp_own_number_range_id": 1221086,
        "hub_id": 2,
        "nnp_own_country_code": 643,
        "nnp_original_operator_id": 0,
        "number_ported": False,
        "nnp_filter_term_id": 0,
        "nnp_rdr_country_prefix": 0,
        "leg_type": 1,
        "nnp_rdr_region_id": 0,
        "nnp_city_id": 115125,
        "weak_match": False,
        "nnp_country_code": 643,
        "nnp_package_minute_id": 0,
        "nnp_rdr_operator_id": 0,
        "session_time": 0,
        "sim_imsi_profile_id": 0,
        "peer_id": 0,
        "nnp_pricelist_location_id": 19817,
        "rate": 0,
        "nnp_filter_term_ids": [330],
        "nnp_own_ndc": 345,
        "stats_nnp_package_minute_id": 0,
        "call_type": 0,
        "cost": 0,
        "mnc": 0,
        "nnp_own_country_prefix": 7,
        "mcn_callid": "",
        "nnp_country_prefix": 7,
        "pdd": 0,
        "billed_time": 0,
        "nnp_package_pricelist_id": 17560,
        "trunk_id": 2329,
        "account_version": 5,
        "nnp_rdr_country_code": 0,
        "nnp_package_price_id": 0,
        "nnp_rdr_is_mob": False,
        "nnp_rdr_number_range_id": 0,
    }
)
"""The billing record of the catalogue's sample, all its keys in their order. Empty values are replaced."""
