"""The record of a call beside the vendor's samples (``samples/``: handbook, 2026): keys, order, types, formats."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.assumptions import Assumptions, MissingFinalStatus
from pytest_mcn_mock.model.calls import Call, CallOrder, end
from pytest_mcn_mock.model.cdr import VARIABLES, WHOLE_EVENT, Cdr, fill_in, make_condition, why_unmet
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.outcomes import Outcome, ending
from pytest_mcn_mock.model.placing import place
from pytest_mcn_mock.model.rendering import render
from pytest_mcn_mock.model.webhooks import make_subscription

SAMPLES = Path(__file__).parent / "samples"
NOON = 1653652200.25
DIGITS = re.compile("[0-9]+")


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


CATALOGUE = sample("catalogue-flashcall")
LOG_ENTRY = sample("flashcall-log-entry.catalogue-types")


def call_of(how: int | Outcome, *, seed: int = 1, at: float = NOON, rings_s: float = 4) -> Call:
    order = CallOrder(Method.FLASH_CALL, "79157777777", code="0042")
    call = place(Account("117793", "t", seed), 100, 0, order, Assumptions(), at)
    outcome, cause = (how, None) if isinstance(how, Outcome) else (None, how)
    return end(call, ending(outcome, cause, unavailable_cause=18), at + rings_s)


def cdr_of(*args: Any, assumptions: Assumptions | None = None, **how: Any) -> Cdr:
    return Cdr(call_of(*args, **how), assumptions or Assumptions())


def shape(value: Any) -> Any:
    """The form of a value of a sample: its type and, for text, where its digits are."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    return DIGITS.sub("9", re.sub("[0-9a-f]{4,}", "9", value)) if isinstance(value, str) else type(value)


calls = st.builds(
    call_of,
    st.integers(1, 127) | st.sampled_from(Outcome),
    seed=st.integers(0, 2**63 - 1),
    at=st.floats(1.6e9, 2.0e9),
    rings_s=st.floats(0, 100),
)


@given(calls)
def test_the_whole_event_has_the_samples_keys_in_its_order_and_its_types(call: Call) -> None:
    event = Cdr(call, Assumptions()).whole_event(call.placed_at + 100)
    data, expected = dict(event["data"]), dict(CATALOGUE["data"])
    assert list(event) == list(CATALOGUE)
    assert list(data["call4raw"].items()) != list(expected["call4raw"].items())
    assert list(data["call4raw"]) == list(expected["call4raw"])
    if call.ending is not None and call.ending.final_status is None:
        del expected["final_status"]
    assert list(data) == list(expected)
    for name in ("start_time", "stop_time"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,5}[1-9])?Z", data.pop(name))
        del expected[name]
    for name in ("channame", "final_status"):
        assert isinstance(data.pop(name, ""), str)
        expected.pop(name, "")
    for theirs, ours in ((shape(expected), shape(data)), (type(event["account_id"]), int)):
        assert theirs == ours
    assert json.loads(json.dumps(event)) == event
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["created_at"])
    assert UUID(event["idempotencyKey"]).version == UUID(CATALOGUE["idempotencyKey"]).version == 4
    for whole in (event, CATALOGUE):
        assert re.fullmatch(f"[0-9a-f]{{12}}_{whole['account_id']}", whole["data"]["verification_call_uuid"])
        assert json.loads(whole["data"]["extra_info_id"]) == {"autodial_uuid": whole["data"]["verification_call_uuid"]}
        assert whole["data"]["accountId"] == whole["account_id"] != whole["data"]["account_id"]


@given(calls)
def test_its_values_are_consistent_with_one_another_as_in_the_samples(call: Call) -> None:
    for data in (
        Cdr(call, Assumptions()).whole_event(0)["data"],
        CATALOGUE["data"],
        LOG_ENTRY,
    ):
        system, _, rest = data["linkedid"].partition("-")
        at, _, sequence = rest.partition(".")
        raw = data["call4raw"]
        assert data["last_linked_id"] == f"{system}-{at}.{int(sequence) + 1}"
        assert data["uniqueid"] == data["sip_call_hash_id"] == f"{system}-{at}.{int(sequence) + 4}"
        assert raw["connect_time"] == int(at) * 1_000_000
        assert raw["peer_id"] == raw["id"] + 1
        assert raw["disconnect_cause"] == data["q931_status"]
        assert raw["dst_number"] == raw["numB"] == data["number"]
        assert raw["src_number"] == raw["numA"] == data["did"]
        assert raw["cost"] == raw["rate"] == raw["session_time"] == raw["billed_time"] == raw["pdd"] == 0
        assert raw["mcn_callid"].replace("-", "")[:12] == f"00{int(at):08x}00"
        assert list(json.loads(data["extra_info_id"])) == ["autodial_uuid"]
        assert '": "' in data["extra_info_id"]
    ours = Cdr(call, Assumptions())
    assert ours.value("extra_info_id") == json.dumps({"autodial_uuid": call.verification_call_uuid})
    assert ours.value("call_id_md5") == ours.value("call4raw")["signalling_call_id"]
    assert (ours.value("accountId"), ours.value("account_id")) == (117793, 10002)


def test_the_variables_are_those_of_the_catalogue_and_of_the_log() -> None:
    assert set(VARIABLES) == set(LOG_ENTRY)
    assert [name for name in VARIABLES if name in LOG_ENTRY] == list(LOG_ENTRY)
    assert list(WHOLE_EVENT) == list(CATALOGUE["data"])
    for name in ("call_id", "call_id_md5"):
        assert shape(cdr_of(17).value(name)) == shape(LOG_ENTRY[name])
    assert "answer_time" not in VARIABLES


def test_the_same_call_has_the_same_record_and_another_seed_another() -> None:
    assert cdr_of(17).whole_event(1.0) == cdr_of(17).whole_event(1.0)
    assert cdr_of(17).value("linkedid") != cdr_of(17, seed=2).value("linkedid")
    assert cdr_of(17).idempotency_key != cdr_of(16).idempotency_key, "another record of the same call is another event"


@pytest.mark.parametrize(
    "offset_s,created_at",
    [(10_800, "2022-05-27T14:50:00.250Z"), (0, "2022-05-27T11:50:00.250Z"), (-3600, "2022-05-27T10:50:00.250Z")],
)
def test_created_at_is_three_hours_ahead_unless_set(offset_s: float, created_at: str) -> None:
    event = cdr_of(17, assumptions=Assumptions(created_at_offset_s=offset_s)).whole_event(NOON)
    assert event["created_at"] == created_at
    assert event["data"]["start_time"] == "2022-05-27T11:50:00.25Z"
    assert event["data"]["stop_time"] == "2022-05-27T11:50:04.25Z"


@pytest.mark.parametrize(
    "setting,value,text",
    [
        (MissingFinalStatus.ABSENT, UNSET, ""),
        (MissingFinalStatus.EMPTY, "", ""),
        (MissingFinalStatus.NULL, None, "null"),
    ],
)
def test_a_final_status_that_is_not_documented_is_a_setting(setting: MissingFinalStatus, value: Any, text: str) -> None:
    cdr = cdr_of(31, assumptions=Assumptions(missing_final_status=setting))
    assert cdr.value("final_status") == value
    assert cdr.whole_event(0)["data"].get("final_status", UNSET) == value
    assert fill_in("<${{final_status}}>", cdr) == f"<{text}>"


def test_a_template_has_values_as_text_and_what_is_not_text_as_its_json() -> None:
    cdr = cdr_of(17)
    template = "${{number}} ${{q931_status}} ${{orig}} ${{apiRaws}} $ { {{number}}"
    assert fill_in(template, cdr) == "79157777777 17 false [] $ { {{number}}"
    assert json.loads(fill_in("${{call4raw}}", cdr)) == cdr.value("call4raw")


PLAIN = st.text(st.characters(exclude_categories=["Cs"])) | st.integers() | st.booleans()


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), PLAIN, max_size=5))
@example({"": "\0\x1f\x7f\b\f\n\r\t\"\\/<&'\u2028é😀", "n": 2**64, "m": -(2**63) - 1, "z": 10**40})
def test_a_body_has_the_bytes_that_json_dumps_writes(constants: dict[str, Any]) -> None:
    constants = {name: value for name, value in constants.items() if "${{" not in f"{name}{value}"}
    for webhook in (
        make_subscription("http://app.test/", constants=constants),
        make_subscription("http://app.test/", body=list(VARIABLES), constants=constants, values="text"),
        make_subscription("http://app.test/", all_variables=True),
    ):
        rendered = render(webhook, cdr_of(17), NOON)
        assert rendered.request.body == json.dumps(rendered.record, ensure_ascii=False).encode()


CONDITIONS: list[tuple[dict[str, Any], bool]] = [
    ({"variable": "q931_status", "value": 17}, True),
    ({"variable": "q931_status", "operator": "equals", "value": "17"}, True),
    ({"variable": "q931_status", "operator": "in", "value": [16, 17]}, True),
    ({"variable": "q931_status", "operator": "in", "value": [16, 17], "not": True}, False),
    ({"variable": "q931_status", "value": 16, "not": True}, True),
    ({"variable": "final_status", "value": "NO ANSWER"}, True),
    ({"variable": "orig", "value": False}, True),
    ({"variable": "number", "value": "7915777777"}, False),
]


@pytest.mark.parametrize("given_condition,holds", CONDITIONS)
def test_a_condition_compares_as_text(given_condition: dict[str, Any], holds: bool) -> None:
    condition = make_condition(given_condition)
    assert condition.holds(cdr_of(17)) is holds
    assert make_condition(condition) == condition
    assert (why_unmet([condition], cdr_of(17)) is None) is holds


@pytest.mark.parametrize(
    "given_condition,says",
    [
        ({"variable": "orig", "value": "False"}, "orig is false, and the filter says: orig is 'False'"),
        ({"variable": "orig", "value": True}, "orig is false, and the filter says: orig is true"),
        (
            {"variable": "q931_status", "operator": "in", "value": [16, "18", False]},
            "q931_status is 17, and the filter says: q931_status is in [16, '18', false]",
        ),
    ],
)
def test_a_condition_that_does_not_hold_is_told_with_what_was_compared(
    given_condition: dict[str, Any], says: str
) -> None:
    assert str(why_unmet([make_condition(given_condition)], cdr_of(17)) or "") == says


@pytest.mark.parametrize(
    "wrong,says",
    [
        ({}, "has a variable and a value"),
        ({"variable": "q931_status"}, "has a variable and a value"),
        ({"variable": "q931", "value": 1}, "'q931' is unknown; did you mean 'q931_status'?"),
        ({"variable": "q931_status", "operator": "like", "value": 1}, "operator 'like' is unknown; use equals or in"),
        ({"variable": "q931_status", "operator": "in", "value": 16}, "in needs a list"),
        ({"variable": "q931_status", "value": [16]}, "equals needs a single value"),
        ({"variable": "q931_status", "operator": "in", "value": []}, "has 0 items"),
        ({"variable": "q931_status", "value": 1.5}, "1.5 is not a short text"),
        ({"variable": "q931_status", "value": 10**5000}, "a int is not a short text"),
        ({"variable": "number", "value": "\ud800"}, "'\\ud800' is not a short text"),
        ({"variable": "q931_status", "value": 1, "not": 1}, "filter: not is 1"),
        ({"variable": "q931_status", "value": 1, "is_not": 1}, "'is_not' is unknown"),
        ("q931_status", "use a dict"),
    ],
)
def test_a_condition_that_is_not_valid_is_refused(wrong: Any, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        make_condition(wrong)
