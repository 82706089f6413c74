"""The provider for Faker: what it gives is what the operator could have made."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import phonenumbers
import pytest
from faker import Faker
from helpers.systems import unmeasured

from pytest_mcn_mock import Outcome, UsageError
from pytest_mcn_mock.faker_provider import MOBILE, McnProvider
from pytest_mcn_mock.model.cdr import VARIABLES
from pytest_mcn_mock.model.numbering import choose_country

SAMPLE = Path(__file__).parents[1] / "model/samples/catalogue-flashcall.json"


@pytest.fixture
def fake() -> Faker:
    fake = Faker()
    fake.add_provider(McnProvider)
    fake.seed_instance(4321)
    return fake


@pytest.fixture
def mcn(fake: Faker) -> McnProvider:
    return McnProvider(fake.factories[0])


def region(number: str) -> str | None:
    parsed = phonenumbers.parse(f"+{number}")
    assert phonenumbers.is_valid_number(parsed), number
    return phonenumbers.region_code_for_number(parsed)


@pytest.mark.parametrize("country,iso", [(643, "RU"), (703, "SK")])
def test_a_callers_number_is_valid_and_ends_in_the_code(mcn: McnProvider, country: int, iso: str) -> None:
    for code in ("1234", "0042", "0000"):
        number = mcn.mcn_did(country=country, code=code)
        assert number.endswith(code)
        assert region(number) == iso
    assert len({mcn.mcn_did(country=country) for _ in range(50)}) > 40


@pytest.mark.parametrize("country,iso", [(643, "RU"), (398, "KZ"), (703, "SK"), (112, "BY"), (348, "HU"), (860, "UZ")])
def test_a_subscribers_number_is_a_mobile_one_of_its_country(mcn: McnProvider, country: int, iso: str) -> None:
    assert country in MOBILE
    for _ in range(200):
        number = mcn.mcn_login_did(country)
        assert region(number) == iso
        assert phonenumbers.number_type(phonenumbers.parse(f"+{number}")) == phonenumbers.PhoneNumberType.MOBILE
        assert choose_country(number, None).country == (643 if iso == "RU" else 703)


def test_identifiers_have_the_vendors_forms(fake: Faker) -> None:
    for _ in range(50):
        assert re.fullmatch(r"\d{4}", fake.mcn_code())
        assert re.fullmatch(r"[1-9]\d{7}", fake.mcn_account_id())
        assert re.fullmatch(r"[0-9a-f]{12}_[1-9]\d{7}", fake.mcn_call_uuid())
        assert re.fullmatch(r"[0-9a-f]{12}_117793", fake.mcn_call_uuid(account_id=117793))
        assert re.fullmatch(r"mcn-[0-9a-f]{32}", fake.mcn_token())
    assert {fake.mcn_outcome() for _ in range(100)} == set(Outcome)


@pytest.mark.parametrize(
    "outcome,q931_status,final_status",
    [
        (Outcome.ANSWERED, 16, "ANSWERED"),
        (Outcome.BUSY, 17, "NO ANSWER"),
        (Outcome.NO_ANSWER, 16, "NO ANSWER"),
        (Outcome.REJECTED, 31, None),
    ],
)
def test_a_record_has_the_articles_statuses(
    mcn: McnProvider, outcome: Outcome, q931_status: int, final_status: str | None
) -> None:
    cdr = mcn.mcn_cdr(outcome)
    assert re.fullmatch(r"[0-9a-f]{12}_[1-9]\d{7}", str(cdr.pop("verification_call_uuid")))
    expected = {"q931_status": q931_status, "final_status": final_status}
    assert cdr == {name: value for name, value in expected.items() if value is not None}


def test_an_unavailable_number_has_any_other_cause_and_no_final_status(mcn: McnProvider) -> None:
    records = [mcn.mcn_cdr("unavailable") for _ in range(50)]
    causes = {record["q931_status"] for record in records}
    assert len(causes) > 5
    assert not causes & {16, 17, 31}
    assert not any("final_status" in record for record in records)
    assert mcn.mcn_cdr(q931_status=27)["q931_status"] == 27


def test_a_record_has_the_variables_asked_for_and_is_one_calls(mcn: McnProvider) -> None:
    cdr = mcn.mcn_cdr(Outcome.ANSWERED, body=tuple(VARIABLES), account_id="117793")
    assert list(cdr) == list(VARIABLES)
    assert (cdr["accountId"], cdr["account_id"]) == (117793, 10002)
    assert cdr["verification_call_uuid"].endswith("_117793")
    assert cdr["verification_call_uuid"] in cdr["extra_info_id"]
    assert cdr["call4raw"]["src_number"] == cdr["did"]
    lasted = datetime.fromisoformat(cdr["stop_time"]) - datetime.fromisoformat(cdr["start_time"])
    assert timedelta(seconds=2) <= lasted <= timedelta(seconds=30)
    of = mcn.mcn_cdr(verification_call_uuid="fa278be48dc2_117793", body=["verification_call_uuid", "accountId"])
    assert of == {"verification_call_uuid": "fa278be48dc2_117793", "accountId": 117793}
    assert {len(mcn.mcn_cdr()) for _ in range(50)} == {2, 3}


def test_the_values_of_a_record_can_all_be_text(mcn: McnProvider) -> None:
    cdr = mcn.mcn_cdr("busy", body=["q931_status", "orig", "apiRaws", "accountId"], values="text", account_id=7)
    assert cdr == {"q931_status": "17", "orig": "false", "apiRaws": "[]", "accountId": "7"}


def test_an_event_has_the_keys_and_types_of_the_vendors_sample(mcn: McnProvider) -> None:
    sample = json.loads(SAMPLE.read_text(encoding="utf-8"))
    for _ in range(20):
        event = mcn.mcn_event(mcn.random_element((Outcome.ANSWERED, Outcome.BUSY, Outcome.NO_ANSWER)))
        assert list(event) == list(sample)
        assert [(key, type(value)) for key, value in event["data"].items()] == [
            (key, type(value)) for key, value in sample["data"].items()
        ]
        assert event["account_id"] == event["data"]["accountId"]
        ahead = datetime.fromisoformat(event["created_at"]) - datetime.fromisoformat(event["data"]["stop_time"])
        assert abs(ahead - timedelta(hours=3)) < timedelta(seconds=1)
    assert "final_status" not in mcn.mcn_event("rejected")["data"]
    of = mcn.mcn_event(q931_status=27, verification_call_uuid="fa278be48dc2_117793")
    assert (of["account_id"], of["data"]["q931_status"]) == (117793, 27)
    assert len({mcn.mcn_event()["idempotencyKey"] for _ in range(50)}) == 50


def everything(fake: Faker) -> list[object]:
    return [
        fake.mcn_did(),
        fake.mcn_login_did(),
        fake.mcn_code(),
        fake.mcn_account_id(),
        fake.mcn_token(),
        fake.mcn_call_uuid(),
        fake.mcn_outcome(),
        fake.mcn_cdr(body=tuple(VARIABLES)),
        fake.mcn_event(),
    ]


def test_the_same_seed_gives_the_same_values(fake: Faker) -> None:
    fake.seed_instance(1)
    first = everything(fake)
    fake.seed_instance(2)
    assert everything(fake) != first
    fake.seed_instance(1)
    assert everything(fake) == first


@pytest.mark.parametrize(
    "wrong,words",
    [
        (lambda mcn: mcn.mcn_did(country=7), "643, 703"),
        (lambda mcn: mcn.mcn_did(code="12345"), "four digits"),
        (lambda mcn: mcn.mcn_did(code=1234), "four digits"),
        (lambda mcn: mcn.mcn_login_did(1), "643"),
        (lambda mcn: mcn.mcn_cdr("bussy"), "busy"),
        (lambda mcn: mcn.mcn_cdr("busy", q931_status=17), "exactly one of outcome and q931_status"),
        (lambda mcn: mcn.mcn_cdr(body=["q931"]), "q931_status"),
        (lambda mcn: mcn.mcn_cdr(account_id="x"), "account id"),
        (lambda mcn: mcn.mcn_cdr(values="numbers"), "use typed or text"),
        (lambda mcn: mcn.mcn_cdr(body="number"), "use a list"),
        (lambda mcn: mcn.mcn_event("bussy"), "busy"),
        (lambda mcn: mcn.mcn_event(verification_call_uuid=5), "verification_call_uuid is 5; use text"),
    ],
)
def test_an_argument_that_cannot_be_is_said(
    mcn: McnProvider, wrong: Callable[[McnProvider], object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        wrong(mcn)


def test_every_method_and_country_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs/how-to/faker.md").read_text(encoding="utf-8")
    assert [name for name in vars(McnProvider) if name.startswith("mcn_") and f"| `{name}(" not in text] == []
    assert [country for country in MOBILE if f"{country} " not in text] == []


@unmeasured
def test_nothing_but_the_provider_imports_faker() -> None:
    code = (
        "import sys, pkgutil, importlib, pytest_mcn_mock as package\n"
        "for info in pkgutil.walk_packages(package.__path__, 'pytest_mcn_mock.'):\n"
        "    if info.name != 'pytest_mcn_mock.faker_provider': importlib.import_module(info.name)\n"
        "print('faker' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
