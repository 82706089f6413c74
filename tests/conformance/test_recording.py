"""What ``mcn-mock record`` keeps, and what it must not."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from helpers.client import RUSSIAN
from helpers.command_runs import tool, whom
from helpers.sandbox import MCN_MOCK
from helpers.vendor_server import ACCOUNT, TOKEN, Asked, Reply, VendorServer, as_json, nowhere
from jsonschema import Draft202012Validator

from pytest_mcn_mock import MCNServer, schemas
from pytest_mcn_mock.conformance.questions import HARMLESS
from pytest_mcn_mock.conformance.recording import Mask, Participants

CONNECTED = "79158886543"
SUBSCRIBER = "79263334455"
"""A number of somebody else's that the server mentions."""
SPEND = ("--spend", "1000", "--ring", RUSSIAN, "--caller-did", CONNECTED, "--yes")


def talkative(asked: Asked) -> Reply:
    """Gives away all it knows, in every spelling."""
    secrets = {
        "authorization": asked.headers.get("Authorization"),
        "token_in_part": f"the token {TOKEN[:11]}… is known",
        f"key of {TOKEN}": {"quoted": quote(TOKEN, safe=""), "account": ACCOUNT, "uuid": f"fa278be48dc2_{ACCOUNT}"},
        "numbers": [RUSSIAN, f"+{RUSSIAN}", "+7 (915) 777-77-77", "8 915 777-77-77", "915-777-77-77", int(RUSSIAN)],
        "caller": f"from {CONNECTED}; tel:+7-915-888-65-43",
        "others": [SUBSCRIBER, "+7 926 333 44 55", int(SUBSCRIBER), "ivan.petrov@example.org"],
        "session": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c",
    }
    headers = {"Set-Cookie": f"sid={TOKEN}", "X-Request-Id": "req-42", "X-User": SUBSCRIBER}
    if asked.path.endswith("mcn_mock_verify"):
        page = f"<html>{json.dumps(secrets)}</html>".encode()
        return 404, {**headers, "Content-Type": "text/html"}, page
    if asked.has_token and asked.login_did.isdecimal() and asked.method == "POST":
        caller = asked.query.get("caller_did", ["74951230042"])[0]
        placed = {"login_did": asked.login_did, "caller_did": caller, "code": caller[-4:], **secrets}
        placed |= {"account_id": str(ACCOUNT), "verification_call_uuid": f"119214e015ed_{ACCOUNT}"}
        return as_json(200, {"status": "success", "code": 200, "object": placed}, **headers)
    return as_json(400, {"status": "error", "details": secrets}, **headers, Location=f"/{ACCOUNT}/{RUSSIAN}?t={TOKEN}")


def assert_no_secret_in(text: str) -> None:
    low = text.lower()
    for n in range(len(TOKEN) - 7):
        assert TOKEN[n : n + 8] not in text
    digits = "".join(c for c in text if c.isdecimal() or c in '"{}[]:;,')  # what is between the digits of a number
    for number in (RUSSIAN, CONNECTED, SUBSCRIBER):
        assert number[-7:] not in digits, number
    for secret in ("petrov", "9f86d081", "set-cookie", "req-42", "x-user"):
        assert secret not in low, secret


@pytest.mark.parametrize("pseudonym", [False, True])
def test_no_secret_of_the_exchange_is_in_the_file(tmp_path: Path, pseudonym: bool) -> None:
    file = tmp_path / "seen.json"
    with VendorServer(talkative) as server:
        told = tool("record", file, *whom(server.url), *SPEND, *(["--pseudonym"] if pseudonym else []))
        sent = [asked for asked in server.asked if asked.has_token]
    assert told.status == 0
    assert sent
    assert any(RUSSIAN in asked.query.get("login_did", []) for asked in sent)
    text = file.read_text(encoding="utf-8")
    assert_no_secret_in(text + told.out + told.err)
    assert (str(ACCOUNT) in text) is not pseudonym


def test_what_is_needed_to_compare_is_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "seen.json"
    with VendorServer(talkative) as server:
        tool("record", file, *whom(server.url), *SPEND)
    content = json.loads(file.read_text(encoding="utf-8"))
    Draft202012Validator(schemas.load("recording")).validate(content)
    exchanges = {item["question"]: item for item in content["exchanges"]}
    placed = exchanges["code_with_zeros"]["answer"]["json"]["object"]
    assert placed["login_did"] == "79150000000"
    assert placed["code"] == "0042"
    assert placed["caller_did"] == "74950000000"
    assert placed["verification_call_uuid"] == f"119214e015ed_{ACCOUNT}"
    assert exchanges["code_with_zeros"]["request"]["query"] == "login_did=79150000000&code=0042"
    assert exchanges["connected_caller"]["request"]["query"] == "caller_did=79150000001&login_did=79150000000"
    assert exchanges["pasted_number"]["request"]["query"] == "login_did=%2B7+%28915%29+0000000&code=0042"
    assert exchanges["no_token"]["request"]["credential"] == "none"
    assert set(exchanges["no_token"]["answer"]["headers"]) == {"content-type", "location"}
    assert len(exchanges["large_body"]["request"]["body"]) == 1000


@pytest.mark.parametrize("extra", [(), SPEND])
def test_a_recording_of_the_fake_is_no_different_from_it(tmp_path: Path, extra: tuple[str, ...]) -> None:
    file = tmp_path / "seen.json"
    with MCNServer() as server:
        account = server.open_account(token=TOKEN, numbers=[CONNECTED])
        told = tool("record", file, *whom(account.base_url, TOKEN, account.account_id), *extra, "--pseudonym")
    assert told.status == 0
    assert f"mcn-mock verify --replay {file}" in told.out
    assert_no_secret_in(file.read_text(encoding="utf-8"))
    replayed = tool("verify", "--replay", file)
    assert replayed.status == 0
    assert "no difference" in replayed.out


def test_a_replay_says_what_the_live_run_said(tmp_path: Path) -> None:
    file = tmp_path / "seen.json"
    with VendorServer(talkative) as server:
        live = tool("verify", *whom(server.url), *SPEND, "--json")
        tool("record", file, *whom(server.url), *SPEND)
    replayed = tool("verify", "--replay", file, "--json")
    assert (live.status, replayed.status) == (1, 1)
    assert {**live.document, "recorded_at": ""} == {**replayed.document, "recorded_at": ""}


def test_a_file_that_is_there_is_not_overwritten_and_nothing_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "seen.json"
    file.write_text("precious")
    with VendorServer(talkative) as server:
        told = tool("record", file, *whom(server.url))
        assert server.asked == []
    assert (told.status, file.read_text()) == (2, "precious")
    assert "exists already" in told.err
    assert tool("record", tmp_path / "no" / "seen.json", *whom(server.url)).status == 2


def test_no_file_is_left_where_there_is_nothing_to_record(tmp_path: Path) -> None:
    file = tmp_path / "seen.json"
    assert tool("record", file, *whom(nowhere())).status == 3
    assert tool("record", file, *whom("nonsense")).status == 2
    assert not file.exists()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The text of a recording of the fake."""
    file = tmp_path_factory.mktemp("recorded") / "seen.json"
    with MCNServer() as server:
        account = server.open_account(token=TOKEN)
        tool("record", file, *whom(account.base_url, TOKEN, account.account_id))
    return file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "damage,hint",
    [
        (lambda c: c.update(version=2), "version 2"),
        (lambda c: c.update(format="x"), "$.format"),
        (lambda c: c.pop("exchanges"), "exchanges"),
        (lambda c: c["exchanges"][0]["answer"].update(status="400"), "$.exchanges[0]"),
        (lambda c: c["exchanges"][0]["request"].update(credential="Bearer x"), "credential"),
        (lambda c: c["exchanges"][0]["answer"].update(json=[[]] * 300), "objects and lists"),
    ],
)
def test_a_file_that_is_no_recording_is_said(tmp_path: Path, recorded: str, damage: Any, hint: str) -> None:
    file = tmp_path / "seen.json"
    content = json.loads(recorded)
    damage(content)
    file.write_text(json.dumps(content), encoding="utf-8")
    told = tool("verify", "--replay", file)
    assert (told.status, told.out) == (2, "")
    assert hint in told.err


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"[" * 100_000, b"null"])
def test_any_other_file_is_said_too(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "seen.json"
    file.write_bytes(data)
    told = tool("verify", "--replay", file)
    assert (told.status, told.out) == (2, "")
    assert told.err.startswith(f"mcn-mock: {file} is not a ")


@pytest.mark.parametrize(
    "body",
    [b"x" * 70_000, b"[" * 60_000, b'{"a":' * 300 + b"1" + b"}" * 300, b'"\\ud800"', b"\xff\xfe", b"NaN", b""],
    ids=["long", "brackets", "deep", "surrogate", "no UTF-8", "NaN", "empty"],
)
def test_a_body_of_any_kind_is_bounded_and_told(tmp_path: Path, body: bytes) -> None:
    file = tmp_path / "seen.json"
    with VendorServer(lambda _: (400, {"Content-Type": "application/json"}, body)) as server:
        assert tool("record", file, *whom(server.url)).status == 0
    assert file.stat().st_size < 200_000
    assert {d["aspect"] for d in tool("verify", "--replay", file, "--json").differences()} >= {"body"}


def test_a_question_of_another_version_is_said_not_to_be_compared(tmp_path: Path, recorded: str) -> None:
    file = tmp_path / "seen.json"
    content = json.loads(recorded)
    content["exchanges"][0]["question"] = "of_tomorrow"
    content["exchanges"][0]["answer"]["status"] = 418
    file.write_text(json.dumps(content), encoding="utf-8")
    told = tool("verify", "--replay", file)
    assert told.status == 0
    assert "not compared: of_tomorrow (questions of another version)" in told.out


@pytest.mark.parametrize(
    "given,masked",
    [
        ("79157777777", "79150000000"),
        ("8(915)777-77-77", "8(915)000-00-00"),
        ("call 7777777 now", "call 0000000 now"),
        ("117793 and fa278be48dc2_117793", "12345678 and fa278be48dc2_12345678"),
        ("1177931", "1177931"),
        ("+421 901 234 567", "+421 900 000 000"),
        ("2026-01-01T12:00:00", "2026-01-01T12:00:00"),
        ("Bearer s3cret-token-of-the-account!", "Bearer ***!"),
        ("xs3cret-token-of-y", "x***y"),
        ("İ S3CRET-TOKEN-OF-THE-ACCOUNT", "İ ***"),
        ("four digits 0042", "four digits 0042"),
    ],
)
def test_a_text_behind_its_mask(given: str, masked: str) -> None:
    assert Mask(TOKEN, Participants(str(ACCOUNT), RUSSIAN), with_pseudonym=True).text(given) == masked


@pytest.mark.parametrize(
    "given,masked",
    [("tok", "***"), ("token 42", "token 42"), ("42", "12345678"), ("a TOK of _42", "a *** of _12345678")],
)
def test_a_short_token_and_a_short_account_are_masked_only_as_a_whole(given: str, masked: str) -> None:
    assert Mask("tok", Participants("42"), with_pseudonym=True).text(given) == masked


def test_what_was_answered_before_an_interruption_is_kept(tmp_path: Path) -> None:
    is_asked = threading.Event()

    def hangs_on_get(asked: Asked) -> Reply | None:
        if asked.method != "GET":
            return talkative(asked)
        is_asked.set()
        return None

    file = tmp_path / "seen.json"
    with VendorServer(hangs_on_get) as server:
        command = [MCN_MOCK, "record", str(file), *whom(server.url)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert is_asked.wait(timeout=60)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "stopped early: interrupted" in out
    content = json.loads(file.read_text(encoding="utf-8"))
    assert [left["question"] for left in content["not_asked"]][:2] == ["get", "large_body"]
    assert len(content["exchanges"]) == len(HARMLESS) - 2
