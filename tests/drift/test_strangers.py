"""``mcn-mock verify`` against servers that are deliberately different."""

from __future__ import annotations

import json
import ssl
import tomllib
from pathlib import Path
from typing import Any

import pytest
import trustme
from helpers.client import RUSSIAN
from helpers.command_runs import Told, Tool, whom
from helpers.vendor_server import ACCOUNT, TOKEN, Asked, Reply, Stranger, as_json, nowhere

LONG = b"HTTP/1.1 400 Bad Request\r\nX: " + b"x" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n"
SPEND = ("--spend", "1000", "--ring", RUSSIAN, "--yes")


def differences(told: Told, **chosen: str) -> list[dict[str, Any]]:
    """The differences that have these values."""
    assert told.status == 1, told.err
    found: list[dict[str, Any]] = told.document["differences"]
    return [d for d in found if all(d[name] == value for name, value in chosen.items())]


def vendor_like(asked: Asked) -> Reply:
    """Refuses with words and statuses of its own, in an envelope of its own; a gateway in front of it speaks HTML."""

    def refuse(status: int, word: str, text: str) -> Reply:
        return as_json(status, {"success": False, "error": {"type": word, "message": text}, "trace": [status]})

    if not asked.path.startswith("/v2/rest/account/") or asked.path.endswith("mcn_mock_verify"):
        return 404, {"Content-Type": "text/html; charset=utf-8"}, b"<html>nginx<script>alert(1)</script></html>"
    if not asked.has_token:
        return refuse(403, "AUTH_ERROR", f"The token {asked.headers.get('Authorization')} is not valid")
    if f"/{ACCOUNT}/" not in asked.path:
        return refuse(403, "AUTH_ERROR", "Access denied")
    if asked.method != "POST":
        return refuse(400, "BAD_METHOD", "Use POST")
    if not asked.login_did.isdecimal():
        return refuse(422, "VALIDATION", f"login_did {asked.login_did} of {TOKEN[:12]}… is wrong")
    placed = {"login_did": asked.login_did[1:], "code": int(asked.query.get("code", ["7"])[0]), "account_id": ACCOUNT}
    return as_json(200, {"status": "success", "code": 200, "object": {**placed, "verification_call_uuid": "x"}})


def test_an_envelope_of_its_own_becomes_a_setting(tool: Tool) -> None:
    with Stranger(vendor_like) as stranger:
        told = tool("verify", *whom(stranger.url), "--json")
    assumed = tomllib.loads(told.document["assumed"])["assumed"]
    assert assumed["error_body"] == {
        "success": False,
        "error": {"type": "$code", "message": "$message"},
        "trace": ["$status"],
    }
    statuses = {"unauthorized": 403, "missing_parameter": 422, "invalid_parameter": 422, "method_not_allowed": 400}
    assert assumed["error_status"] == {**statuses, "payload_too_large": 422}
    assert {d["setting"] for d in differences(told, aspect="status", question="no_token")} == {
        "error_status = { unauthorized = 403 }"
    }
    # Its words, and the pages of the gateway, are beyond what a setting can say.
    assert {d["server"] for d in differences(told, aspect="reason")} == {
        '`"AUTH_ERROR"`',
        '`"VALIDATION"`',
        '`"BAD_METHOD"`',
    }
    html = differences(told, aspect="body", question="unknown_path")
    assert [(d["server"], d["setting"]) for d in html] == [("text/html, no JSON", None)]


def test_an_accepted_call_of_another_form_is_told_value_by_value(tool: Tool) -> None:
    with Stranger(vendor_like) as stranger:
        told = tool("verify", *whom(stranger.url), *SPEND, "--json")
    places = {d["place"]: d["server"] for d in differences(told, aspect="value", question="code_with_zeros")}
    assert places == {
        "object.account_id": f"`object.account_id` is a number, `{ACCOUNT}`",
        "object.code": "`object.code` is a number, `42`",
        "object.login_did": '`object.login_did` is `"9150000000"`',
        "object.verification_call_uuid": '`object.verification_call_uuid` is `"x"`',
    }
    (uuid,) = differences(told, place="object.verification_call_uuid", question="no_code")
    assert uuid["level"] == "documented"
    (answer,) = [a for a in told.document["answers"] if a["question"] == "code_with_zeros"]
    assert answer["schema"] == "flash_call.response"
    assert any("$.object.code" in problem for problem in answer["schema_problems"])
    assert differences(told, question="json_body", aspect="outcome")


@pytest.mark.parametrize("extra", [(), ("--json",), SPEND, (*SPEND, "--json")])
def test_the_token_is_in_no_output(tool: Tool, extra: tuple[str, ...]) -> None:
    with Stranger(vendor_like) as stranger:
        told = tool("verify", *whom(stranger.url), *extra)
    assert told.status == 1
    assert not any(TOKEN[n : n + 8] in told.out + told.err for n in range(len(TOKEN) - 7))
    assert RUSSIAN not in told.out


def test_what_it_says_is_no_markup_in_the_table(tool: Tool) -> None:
    def evil(asked: Asked) -> Reply:
        return as_json(400, {"a|b`\n| <script>\x1b[2J": "x"}, Location="/")

    with Stranger(evil) as stranger:
        told = tool("verify", *whom(stranger.url))
    table = [line for line in told.out.splitlines() if line.startswith("| ")]
    assert len(table) > 2
    assert "script" in "".join(table)
    for line in table:
        assert line.replace("\\|", "").count("|") == 5
        assert "<script>" not in "".join(line.split("`")[::2])
    assert "\x1b" not in told.out


def test_refusals_with_status_200_are_told(tool: Tool) -> None:
    def lenient(asked: Asked) -> Reply:
        status = 404 if "mcn_mock_verify" in asked.path else 400
        error = {"code": "bad", "message": f"{asked.query}", "parameter": None}
        return as_json(200, {"status": "error", "code": status, "errors": [error]})

    with Stranger(lenient) as stranger:
        told = tool("verify", *whom(stranger.url), "--json")
        assert len(stranger.asked) == 22
    assert {d["setting"] for d in differences(told, aspect="status", question="no_token")} == {
        "error_status = { unauthorized = 200 }"
    }
    (value,) = differences(told, place="$status", question="no_token")
    assert (value["server"], value["setting"]) == ("status 400 in the body of a 200", None)


def test_of_several_statuses_the_most_frequent_is_the_setting(tool: Tool) -> None:
    def particular(asked: Asked) -> Reply:
        status = 401 if not asked.has_token else 400 if asked.body == b'{"login_did": ' else 422
        error = {"code": "unauthorized" if status == 401 else "invalid_parameter", "message": "no", "parameter": None}
        return as_json(status, {"status": "error", "code": status, "errors": [error]})

    with Stranger(particular) as stranger:
        told = tool("verify", *whom(stranger.url), "--json")
    assert "invalid_parameter = 422" in told.document["assumed"]
    assert differences(told, aspect="status", question="letters_in_login_did")[0]["setting"]
    (other,) = differences(told, aspect="status", question="broken_json")
    assert (other["fake"], other["server"]) == ("422", "400 for `invalid_parameter`")
    assert other["setting"] is None


def test_a_redirect_is_told_and_not_followed(tool: Tool) -> None:
    def away(asked: Asked) -> Reply:
        return 302, {"Location": f"https://other.invalid/login?token={TOKEN}"}, b""

    with Stranger(away) as stranger:
        told = tool("verify", *whom(stranger.url), "--json")
        assert len(stranger.asked) == 22
    found = {d["server"] for d in differences(told)}
    assert found == {"redirects with 302 to https://other.invalid/login"}
    assert told.document["assumed"] is None


def test_it_stops_at_once_where_what_is_harmless_is_accepted(tool: Tool) -> None:
    def lax(asked: Asked) -> Reply:
        if asked.has_token:
            return as_json(200, {"ok": True, "caller_number": "74951230042", "verification_uuid": "1"})
        return as_json(401, {"ok": False})

    with Stranger(lax) as stranger:
        told = tool("verify", *whom(stranger.url), *SPEND, "--json")
        assert sum(asked.has_token for asked in stranger.asked) == 1
    assert told.document["stopped"].startswith("the server accepts other_account, which a sound one refuses")
    (difference,) = differences(told, question="other_account")
    assert (difference["server"], difference["fake"]) == ("accepts it", "403 `account_not_found`")


def test_it_places_no_further_call_where_one_was_not_answered(tool: Tool) -> None:
    def dies_ringing(asked: Asked) -> Reply | None:
        return None if asked.login_did.isdecimal() else vendor_like(asked)

    with Stranger(dies_ringing) as stranger:
        told = tool("verify", *whom(stranger.url), *SPEND, "--timeout", "0.3", "--json")
        assert sum(asked.login_did.isdecimal() for asked in stranger.asked) == 1
    assert told.document["stopped"] == "no answer to code_with_zeros, which may have been charged"
    assert told.document["spent_kopecks"] == 15
    (difference,) = differences(told, question="code_with_zeros")
    assert difference["server"] == "no answer in time"


def test_one_question_that_is_not_answered_is_a_difference(tool: Tool) -> None:
    def hangs_on_get(asked: Asked) -> Reply | None:
        return None if asked.method == "GET" else vendor_like(asked)

    with Stranger(hangs_on_get) as stranger:
        told = tool("verify", *whom(stranger.url), "--timeout", "0.3", "--json")
    (difference,) = differences(told, question="get")
    assert (difference["aspect"], difference["server"]) == ("answer", "no answer in time")
    assert told.document["answers"][-1]["question"] == "large_body"


@pytest.mark.parametrize(
    "raw,why",
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "what it answers is no HTTP"),
        (LONG, "what it answers is no HTTP"),
        (b"HTTP/1.1 400\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "what it answers is no HTTP"),
        (b"HTTP/1.1 400\r\nContent-Length: 9\r\n\r\n", "it closes the connection"),
        (b"", "it closes the connection"),
    ],
)
def test_a_server_that_answers_nothing_is_unreachable(tool: Tool, raw: bytes, why: str) -> None:
    with Stranger(vendor_like, raw=raw) as stranger:
        told = tool("verify", *whom(stranger.url), "--timeout", "5")
        assert len(stranger.asked) <= 6
    assert (told.status, told.out) == (3, "")
    assert told.err.startswith(f"mcn-mock: no answer from {stranger.url}: {why}")


def test_a_server_that_hangs_is_unreachable(tool: Tool) -> None:
    with Stranger(lambda _: None) as stranger:
        told = tool("verify", *whom(stranger.url), "--timeout", "0.2")
        assert len(stranger.asked) == 3
    assert (told.status, told.out) == (3, "")
    assert "does not answer in time" in told.err


def test_nobody_there_is_unreachable(tool: Tool) -> None:
    told = tool("verify", *whom(nowhere()))
    assert (told.status, told.out) == (3, "")
    assert "there is no connection" in told.err


@pytest.mark.parametrize(
    "body",
    [b"x" * 70_000, b"[" * 60_000, b'{"a":' * 60 + b"1" + b"}" * 60, b'"\\ud800"', b"\xff\xfe", b"NaN", b""],
    ids=["long", "brackets", "deep", "surrogate", "no UTF-8", "NaN", "empty"],
)
def test_a_body_of_any_kind_is_bounded_and_told(tool: Tool, tmp_path: Path, body: bytes) -> None:
    with Stranger(lambda _: (400, {"Content-Type": "application/json"}, body)) as stranger:
        file = tmp_path / "seen.json"
        assert tool("record", file, *whom(stranger.url)).status == 0
    assert file.stat().st_size < 200_000
    told = tool("verify", "--replay", file, "--json")
    assert {d["aspect"] for d in differences(told)} >= {"body"}


def test_a_certificate_is_verified(tool: Tool, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with Stranger(vendor_like, tls=context) as stranger:
        told = tool("verify", *whom(stranger.url))
        assert told.status == 3
        assert "its certificate is not trusted" in told.err
        assert stranger.asked == []
        assert tool("verify", *whom(stranger.url), "--cacert", tmp_path / "ca.pem").status == 1
        assert len(stranger.asked) == 22


def test_json_on_a_page_that_says_html_is_read(tool: Tool) -> None:
    def as_html(asked: Asked) -> Reply:
        status, headers, body = vendor_like(asked)
        return status, {**headers, "Content-Type": "text/html"}, body

    with Stranger(as_html) as stranger:
        told = tool("verify", *whom(stranger.url), "--json")
    assert json.dumps("error_body")[1:-1] in told.document["assumed"]
    (difference,) = differences(told, aspect="media_type", question="no_token")
    assert (difference["server"], difference["setting"]) == ("Content-Type text/html", None)
