"""``mcn-mock check`` against endpoints on real sockets: sound ones, and ones with one fault each."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result
from helpers.faulty_endpoints import (
    CAUSES,
    FAULTS,
    TEMPLATE,
    Answer,
    Fault,
    Request,
    acting,
    always,
    read,
    served,
    sound,
)
from helpers.sandbox import MCN_MOCK

from pytest_mcn_mock import WebhookContract
from pytest_mcn_mock.cli.commands import mcn_mock
from pytest_mcn_mock.conformance.cases import CASES, choose
from pytest_mcn_mock.conformance.webhook import Form
from pytest_mcn_mock.model.cdr import DEFAULT_VARIABLES, VARIABLES

ROOT = Path(__file__).parents[2]
KNOWN = "fa278be48dc2_117793"
FLAT = choose(Form.FLAT)
ENVELOPE = ["account_id", "event_type", "created_at", "idempotencyKey", "data"]
AS = {
    Form.FLAT: (),
    Form.WHOLE: ("--all-variables",),
    Form.QUERY: ("--method", "GET"),
    Form.TEXT: ("--data-type", "text", "--template", TEMPLATE),
}
"""The options for each form."""


def check(*arguments: str) -> Result:
    return CliRunner().invoke(mcn_mock, ["check", *arguments], catch_exceptions=False)


def results(*arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit status, and what was found in each case, by its name."""
    done = check(*arguments, "--json")
    document = json.loads(done.stdout)
    assert document["sound"] is (done.exit_code == 0)
    return done.exit_code, {result["name"]: result for result in document["results"]}


@pytest.fixture(scope="module")
def sound_url() -> Iterator[str]:
    with served(sound) as url:
        yield url


@pytest.mark.parametrize("form", [Form.FLAT, Form.WHOLE])
@pytest.mark.parametrize("values", [(), ("--values", "text")])
def test_a_sound_endpoint_passes_every_case(sound_url: str, form: Form, values: tuple[str, ...]) -> None:
    if form is Form.WHOLE and values:
        return  # there is no such subscription
    status, found = results(sound_url, "--strict", *AS[form], *values)
    assert (status, [name for name, result in found.items() if result["findings"]]) == (0, [])
    assert list(found) == [case.name for case in choose(form)]


def test_every_case_is_of_a_form() -> None:
    assert {case.name for form in Form for case in choose(form)} == {case.name for case in CASES}


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_faulty_endpoint_is_found_with_the_right_diagnosis(fault: Fault) -> None:
    finds = fault.finds.split()
    only = [] if fault.is_all else finds  # where everything is wrong, a few cases say so
    with served(fault.make()) as url:
        status, found = results(url, *fault.arguments.split(), *(word for case in only for word in ("--only", case)))
    assert status == (1 if fault.level == "error" else 0)
    wrong = {name: result for name, result in found.items() if result["result"] == fault.level}
    assert set(finds) == set(wrong)
    first = next(finding for finding in wrong[finds[0]]["findings"] if finding["level"] == fault.level)
    assert re.search(fault.diagnosis, first["diagnosis"]), first
    assert re.search(fault.hint, first["hint"]), first


def test_the_table_tells_every_case_and_how_to_mend_what_is_wrong() -> None:
    with served(next(fault for fault in FAULTS if fault.name == "fails on unknown fields").make()) as url:
        done = subprocess.run([MCN_MOCK, "check", url], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (1, "")
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1 : len(FLAT) + 1]] == [case.name for case in FLAT]
    assert re.search(r"^unknown_fields +error +500 ", done.stdout, re.MULTILINE)
    assert re.search(r"^fifty_at_once +sound +204 ×50 ", done.stdout, re.MULTILINE)
    assert (
        "error in unknown_fields: answered 500 to a record with additional fields\n  to fix it: ignore" in done.stdout
    )
    assert lines[-1] == f"{url}: {len(FLAT)} cases, 4 errors, 1 warning"


def test_a_terminal_sees_how_far_it_is(sound_url: str) -> None:
    terminal, end = pty.openpty()
    command = [MCN_MOCK, "check", sound_url, "--only", "busy", "--only", "answered", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=end, text=True, check=False, timeout=120)
    os.close(end)
    shown = b""
    with os.fdopen(terminal, "rb", buffering=0) as screen, suppress(OSError):  # which is how a terminal ends
        while chunk := screen.read(4096):
            shown += chunk
    assert b"2/2" in shown
    assert (done.returncode, json.loads(done.stdout)["cases"]) == (0, 2)


def test_what_has_one_cause_is_told_once() -> None:
    with served(always(Answer(403))()) as url:
        told = check(url).stdout
    assert 1 <= told.count("to fix it: the operator does not log in") <= 2  # errors, and where a 4xx is a warning
    assert re.search(r"error in \d\d cases: answered 403 to …\n  answered: … an ordinary record", told)


MANY = "error in {} cases, with one cause: it needs final_status in every record"


@pytest.mark.parametrize(
    "answer",
    [Answer(500), Answer(422), None],  # 422 as a schema that demands the field, None as a worker that dies
    ids=["crashes", "refuses", "closes"],
)
def test_a_field_that_is_missing_often_is_one_cause(answer: Answer | None) -> None:
    def needs_it(request: Request, handler: Any) -> Answer | None:
        cdr = read(request)
        return cdr if isinstance(cdr, Answer) else Answer() if "final_status" in cdr else answer

    cases = ["rejected", "unavailable", *CAUSES, "contradicted"]
    if answer != Answer(422):
        cases += ["without_final_status"]
    with served(needs_it) as url:
        done = check(url)
        status, found = results(url)
        alone = results(url, "--only", "cause_41")[1]["cause_41"]["findings"]
    told = " ".join(done.stdout.split())
    assert MANY.format(len(cases)) + f" cases: {', '.join(cases)} to fix it: " in told
    assert told.count("read it with .get()") == 1
    assert "treat all but 16, 17 and 31 as unavailable" not in told
    assert f"{len(cases)} errors (1 cause)" in told
    assert (done.exit_code, status) == (1, 1)
    hints = {found[name]["findings"][0]["hint"] for name in cases}
    assert hints == {alone[0]["hint"]}
    assert alone[0]["cause"] == "it needs final_status in every record"


def test_a_cause_that_is_not_known_is_another_fault() -> None:
    """It fails on the records that have no final_status, and the field is not to blame."""
    with served(acting(lambda cdr: {16: None, 17: None}[cdr["q931_status"]])) as url:
        found = results(url, "--only", "cause_*", "--only", "rejected", "--only", "without_final_status")[1]
    assert found["without_final_status"]["findings"] == []
    assert found["rejected"]["findings"][0]["cause"] is None
    (finding,) = found["cause_41"]["findings"]
    assert finding["cause"] is None
    assert "treat all but 16, 17 and 31 as unavailable" in finding["hint"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whether a connection was accepted")
def test_a_connection_that_was_not_accepted_is_told_from_an_answer_that_did_not_come() -> None:
    """A server that takes the probe and nothing more, with room for two connections that wait for it."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as server:

        def take_the_probe() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

        threading.Thread(target=take_the_probe, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        status, found = results(url, "--only", "fifty_at_once", "--timeout", "1")
    troubles = Counter(answer["trouble"] for answer in found["fifty_at_once"]["answers"])
    assert (status, set(troubles)) == (1, {"not_accepted", "no_answer"})
    assert troubles["not_accepted"] > 40
    findings = found["fifty_at_once"]["findings"]
    hints = {finding["diagnosis"].partition(" 50 records")[0]: finding["hint"] for finding in findings}
    assert "backlog" in hints["did not accept a connection within 1 s for"]
    assert "acknowledge first" in hints["gave no answer within 1 s to"]


def test_a_4xx_to_an_unknown_call_is_judged_by_what_the_endpoint_can_know() -> None:
    """Loosely where it knows none; as a fault where a known call is given, or another unknown one was acknowledged."""
    with served(acting(lambda cdr: None if cdr["verification_call_uuid"] == KNOWN else Answer(404))) as url:
        done = check(url)
        assert done.exit_code == 0
        assert "a 400, 404, 409, 410 or 422 is a warning" in " ".join(done.stdout.split())
        assert check(url, "--strict").exit_code == 1
        assert check(url, "--uuid", "000000000000_117793", "--only", "busy").exit_code == 1
        status, found = results(url, "--uuid", KNOWN)
        warned = [name for name, result in found.items() if result["findings"]]
        assert (status, warned) == (0, ["early", "unknown_uuid", "foreign_account"])
    with served(acting(lambda cdr: Answer(404) if cdr.get("q931_status") == 17 else None)) as url:
        status, found = results(url, "--only", "busy")
        assert (status, found["busy"]["result"]) == (1, "error")


@contextmanager
def taking() -> Iterator[tuple[str, list[Request]]]:
    """The URL of an endpoint that acknowledges everything, and the requests that it got."""
    seen: list[Request] = []

    def take(request: Request, handler: object) -> Answer:
        seen.append(request)
        return Answer()

    with served(take) as url:
        yield url, seen


def test_each_subscription_sends_what_the_vendors_form_has() -> None:
    with taking() as (url, seen):
        secret = (f"{url}?key=k3y", "--token", "s3cret", "--header", "X-Tenant: 7", "--account", "42", "--only", "busy")
        told = check(*secret, "--method", "GET").output
        told += check(*secret, "--data-type", "text", "--template", TEMPLATE).output
        check(url, "--header", "content-type: text/x-own", "--only", "wrong_content_type")
    assert not re.search("s3cret|k3y", told)
    assert seen.pop().content_type == seen.pop().content_type == "text/x-own"
    got, posted = seen[1], seen[3]
    assert (got.method, got.body) == ("GET", b"")
    assert re.search(
        r"\?key=k3y&verification_call_uuid=[0-9a-f]{12}_42&q931_status=17&final_status=NO\+ANSWER$", got.path
    )
    assert (posted.method, posted.content_type) == ("POST", "text/plain; charset=utf-8")
    assert re.fullmatch(rb"[0-9a-f]{12}_42/NO ANSWER", posted.body)
    assert {(r.headers["Authorization"], r.headers["X-Tenant"]) for r in seen} == {("Bearer s3cret", "7")}


def test_in_get_every_outcome_counts_in_full() -> None:
    with served(lambda request, handler: Answer(500 if "NO+ANSWER" in request.path else 204)) as url:
        status, found = results(url, "--method", "GET")
    assert status == 1
    assert [name for name, result in found.items() if result["result"] == "error"][:2] == ["busy", "no_answer"]
    assert "cut_off" not in found


def is_json(request: Request) -> bool:
    try:
        json.loads(request.body)
    except ValueError:  # of JSON, and of UTF-8
        return False
    return True


def record(request: Request) -> Any:
    """The variables of a request, whatever its form."""
    if request.method == "GET":
        return dict(parse_qsl(urlsplit(request.path).query))
    if request.content_type.startswith("text/plain"):
        return dict(zip(("verification_call_uuid", "final_status"), request.body.decode().split("/"), strict=True))
    event = json.loads(request.body)
    return event["data"] if "event_type" in event else event


def uuids(requests: list[Request]) -> set[str]:
    return {record(request)["verification_call_uuid"] for request in requests}


@pytest.mark.parametrize(
    "case,holds",
    [
        ("cut_off", lambda r: not is_json(r[0]) and r[0].headers["Content-Length"] == str(len(r[0].body))),
        ("broken_utf8", lambda r: not is_json(r[0]) and r[0].body.startswith(b"{")),
        ("large_body", lambda r: is_json(r[0]) and len(r[0].body) > 2**20),
        ("deeply_nested", lambda r: r[0].body == b"[" * 50_000 + b"]" * 50_000),
        ("no_content_type", lambda r: "Content-Type" not in r[0].headers),
        ("other_methods", lambda r: [request.method for request in r] == ["HEAD", "OPTIONS", "PUT"]),
        ("duplicate_at_once", lambda r: len(r) == 5 and len({request.body for request in r}) == 1),
        ("fifty_at_once", lambda r: len(r) == len(uuids(r)) == 50),
        ("reordered", lambda r: len(r) == len(uuids(r)) == 2),
        ("contradicted", lambda r: len(r) == 3 and len(uuids(r)) == 1),
        ("late", lambda r: record(r[0])["start_time"] < record(r[0])["stop_time"]),
        ("foreign_account", lambda r: not uuids(r).pop().endswith("_12345678")),
        ("cause_*", lambda r: {record(request)["q931_status"] for request in r[: len(CAUSES)]} >= {1, 127}),
    ],
)  # fmt: skip
def test_the_requests_are_what_the_case_says(case: str, holds: Callable[[list[Request]], bool]) -> None:
    with taking() as (url, seen):
        assert check(url, "--only", case).exit_code == 0
    assert holds(seen[1:])  # the first is the probe


def keys(requests: list[Request]) -> set[str]:
    return {json.loads(request.body)["idempotencyKey"] for request in requests}


def sent(case: str, *arguments: str) -> list[Request]:
    """The requests of a case, to an endpoint that acknowledges everything."""
    with taking() as (url, seen):
        assert check(url, "--only", case, *arguments).exit_code == 0
    return seen[1:]  # the first is the probe


@pytest.mark.parametrize(
    "case,form,statuses",
    [
        *(("rejected", form, ["none"]) for form in Form),
        *(("final_status_empty", form, ["", ""]) for form in Form if form is not Form.TEXT),
        *(("final_status_null", form, [None, None]) for form in (Form.FLAT, Form.WHOLE)),
    ],
)
def test_a_missing_final_status_is_absent_empty_and_null(case: str, form: Form, statuses: list[object]) -> None:
    got = [record(request) for request in sent(case, *AS[form])]
    if form is Form.QUERY and case == "final_status_empty":
        assert all(request.path.endswith("&final_status=") for request in sent(case, *AS[form]))
        return
    if form is Form.TEXT:
        statuses = [""]
    assert [cdr.get("final_status", "none") for cdr in got] == statuses
    if form is Form.FLAT and case != "rejected":
        assert [cdr["q931_status"] for cdr in got] == [31, 18]


@pytest.mark.parametrize(
    "case,holds",
    [
        ("answered", lambda r: [*json.loads(r[0].body)] == ENVELOPE and len(record(r[0])) == 26),
        ("duplicate", lambda r: len(r) == 3 and len({request.body for request in r}) == 1),
        ("duplicate_at_once", lambda r: len(r) == 5 and len(keys(r)) == 1),
        ("repeated_key", lambda r: len({request.body for request in r}) == 3 and len(keys(r)) == len(uuids(r)) == 1),
        ("contradicted", lambda r: len(keys(r)) == 3 and len(uuids(r)) == 1),
        ("fifty_at_once", lambda r: len(keys(r)) == 50),
        ("all_variables", lambda r: [*record(r[0])] == sorted(VARIABLES, reverse=True)),
        ("unknown_fields", lambda r: record(r[0])["tenant"] == "Ромашка"),
        ("without_key", lambda r: [*json.loads(r[0].body)] == [name for name in ENVELOPE if name != "idempotencyKey"]),
        ("without_data", lambda r: [*json.loads(r[0].body)] == ENVELOPE[:-1]),
        ("data_null", lambda r: json.loads(r[0].body)["data"] is None),
        ("without_uuid", lambda r: "verification_call_uuid" not in record(r[0]) and len(record(r[0])) == 25),
        ("cause_as_text", lambda r: record(r[0])["q931_status"] == "16"),
        ("large_body", lambda r: len(record(r[0])["note"]) == 2**20),
        ("lone_surrogate", lambda r: record(r[0])["verification_call_uuid"] == "\ud800_117793"),
        ("flat_variant", lambda r: [*json.loads(r[0].body)] == [*DEFAULT_VARIABLES]),
    ],
)  # fmt: skip
def test_the_whole_event_is_what_the_case_says(case: str, holds: Callable[[list[Request]], bool]) -> None:
    assert holds(sent(case, "--all-variables"))


def test_values_are_text_if_the_subscription_says_so() -> None:
    for case in ("answered", "unknown_fields", "cause_null"):
        (request,) = sent(case, "--values", "text")
        assert all(isinstance(value, str) for value in json.loads(request.body).values())


def test_an_endpoint_that_cannot_be_reached_is_status_3(sound_url: str, tmp_path: Path) -> None:
    with served(sound) as url:
        pass
    report = tmp_path / "junit.xml"
    done = check(url, "--junit", str(report))
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr.startswith(f"mcn-mock: {url} cannot be reached: ")
    (suite,) = ET.parse(report).getroot()
    assert suite.attrib["errors"] == "1"
    done = check(sound_url.replace("http:", "https:"))
    assert (done.exit_code, done.stdout) == (3, "")


@pytest.mark.parametrize(
    "arguments,message",
    [
        ((), "give the URL of the webhook"),
        (("ftp://x/",), "not an http or https URL"),
        (("http://127.0.0.1:1/", "--only", "answred"), "did you mean 'answered'?"),
        (
            ("http://127.0.0.1:1/", "--only", "repeated_*"),
            "is not for the form flat",
        ),
        (("http://127.0.0.1:1/", "--uuid", "x"), "not a verification_call_uuid"),
        (("http://127.0.0.1:1/", "--account", "x"), "use one to fifteen digits"),
        (("http://127.0.0.1:1/", "--header", "s3cret"), "a header is written 'Name: value'"),
        (("http://127.0.0.1:1/", "--header", "A: s3cret\x01"), "cannot be sent"),
        (("http://127.0.0.1:1/", "--token", "s3cret", "--header", "authorization: s3cret"), "given twice"),
        (("http://127.0.0.1:1/", "--method", "GET", "--data-type", "text", "--template", "x"), "a GET has no body"),
        (("http://127.0.0.1:1/", "--data-type", "text"), "template is missing"),
        (("http://127.0.0.1:1/", "--template", "x"), "template is for data_type"),
        (("http://127.0.0.1:1/", "--data-type", "text", "--template", "${{numer}}"), "did you mean 'number'?"),
        (("http://127.0.0.1:1/", "--all-variables", "--method", "GET"), "all_variables needs method"),
        (("http://127.0.0.1:1/", "--all-variables", "--values", "text"), "values"),
        (("http://127.0.0.1:1/", "--timeout", "0"), "--timeout"),
        (("http://127.0.0.1:1/", "--cacert", "none.pem"), "--cacert 'none.pem' cannot be read: No such file"),
        (("http://127.0.0.1:1/", "--junit", "none/junit.xml"), "none/junit.xml"),
    ],
)
def test_a_wrong_argument_is_status_2_and_says_what_would_be_right(arguments: tuple[str, ...], message: str) -> None:
    done = check(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert "s3cret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_certificate_is_checked_unless_told_otherwise(tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    with served(sound, certificate) as url:
        assert check(url, "--only", "answered").exit_code == 3
        assert check(url, "--only", "answered", "--cacert", str(tmp_path / "ca.pem")).exit_code == 0
        assert check(url, "--only", "answered", "--insecure").exit_code == 0


def test_a_junit_report_is_well_formed_and_has_no_secret(tmp_path: Path) -> None:
    def redirect(request: Request, handler: object) -> Answer:
        return Answer(302, {"Location": "/\x01\x1b<&>?token=s3cret", "Set-Cookie": "a=s3cret"}, b"s3cret")

    report = tmp_path / "junit.xml"
    with served(redirect) as url:
        done = check(f"{url}?key=s3cret", "--token", "s3cret", "--junit", str(report))
    assert done.exit_code == 1
    assert "s3cret" not in done.output
    text = report.read_text(encoding="utf-8")
    assert "s3cret" not in text
    root = ET.fromstring(text)
    (suite,) = root
    assert root.attrib["tests"] == suite.attrib["tests"] == str(len(FLAT)) == str(len(suite))
    failures = suite.findall("testcase/failure")
    assert suite.attrib["failures"] == str(len(failures)) > "0"
    assert re.search(r"redirected \(302\) to /.*in answer to an ordinary record", failures[0].attrib["message"])


def test_the_cases_are_listed_and_chosen_by_pattern(sound_url: str) -> None:
    told = check("--list").stdout
    assert all(re.search(rf"^{case.name} ", told, re.MULTILINE) for case in FLAT)
    whole = check("--list", "--all-variables").stdout
    assert re.search(r"^repeated_key ", whole, re.MULTILINE)
    assert not re.search(r"^repeated_key ", told, re.MULTILINE)
    _, found = results(sound_url, "--only", "cause_1", "--only", "without_*")
    assert list(found) == ["cause_1", "without_final_status", "without_q931_status", "without_uuid"]


def test_an_output_that_lacks_a_character_is_no_failure() -> None:
    western = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    with served(acting(lambda cdr: Answer(500) if cdr["q931_status"] == 17 else None)) as url:
        command = [MCN_MOCK, "check", url, "--only", "busy"]
        done = subprocess.run(command, capture_output=True, encoding="latin-1", check=False, timeout=120, env=western)
    assert (done.returncode, done.stderr) == (1, "")
    assert r"«q931_status»" in done.stdout
    assert r"\u0441" in done.stdout


def test_every_case_and_every_member_of_the_class_is_documented() -> None:
    page = (ROOT / "docs/how-to/check-webhook.md").read_text(encoding="utf-8")
    names = {re.sub(r"^cause_\d+$", "cause_*", case.name) for case in CASES}
    assert [name for name in names if f"`{name}`" not in page] == []
    reference = (ROOT / "docs/reference/fixtures.md").read_text(encoding="utf-8").split("## `WebhookContract`")[1]
    members = [name for name in vars(WebhookContract) if not name.startswith("_")]
    assert [name for name in members if not re.search(rf"\| `{name}[`(]", reference)] == []


def test_every_case_says_what_is_sound_why_and_how_to_mend_it() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    for case in CASES:
        assert re.fullmatch(r"[a-z0-9_]+", case.name)
        assert min(map(len, (case.sends, case.why, case.source, case.hint, case.sound))) > 5
        assert not case.hint.endswith(".")
