"""``WebhookContract`` in a project that is not this one, run by a pytest of its own."""

from __future__ import annotations

import sys

import pytest
import trustme
from fastapi import FastAPI
from flask import Flask
from helpers.faulty_endpoints import served, sound

from pytest_mcn_mock import WebhookContract
from pytest_mcn_mock.conformance.cases import choose
from pytest_mcn_mock.conformance.webhook import Form

FLASK = """
    import json
    from flask import Flask, request

    def create_app():
        app = Flask(__name__)
        app.ended = {}

        @app.post("/webhooks/mcn")
        def webhook():
            cdr = request.get_json()
            if not isinstance(cdr, dict) or not isinstance(cdr.get("verification_call_uuid"), str):
                return "", 400
            app.ended[cdr["verification_call_uuid"]] = cdr.get("final_status", "UNAVAILABLE")
            return "", 204

        return app
"""
SOUND = """
    import pytest
    from app import create_app
    from pytest_mcn_mock import WebhookContract

    class TestWebhook(WebhookContract):
        @pytest.fixture
        def webhook(self):
            self.app = create_app()
            return self.app, "/webhooks/mcn"
"""
CASES = choose(Form.FLAT)
TESTS = sum(not case.optional for case in CASES)
LOADED = (FastAPI, Flask, WebhookContract)
"""What the runs in this process would else load again each time."""
OPTIONS = ("-W", "error", "-o", "asyncio_default_fixture_loop_scope=function", "-p", "no:hypothesispytest")


@pytest.fixture(autouse=True)
def no_module_of_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run within this process imports modules of its own, whose names the examples of the documentation have too."""
    for name in ("app", "test_webhook"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def run(pytester: pytest.Pytester, test: str, *arguments: str, app: str = FLASK) -> pytest.RunResult:
    pytester.makepyfile(app=app, test_webhook=test)
    return pytester.runpytest_inprocess(*OPTIONS, *arguments)


def test_a_sound_application_passes_every_case(pytester: pytest.Pytester) -> None:
    result = run(pytester, SOUND, "-v")
    result.assert_outcomes(passed=TESTS)
    result.stdout.fnmatch_lines_random(
        [f"test_webhook.py::TestWebhook::test_webhook[[]{case.name}] PASSED*" for case in CASES if not case.optional]
    )


def test_the_cases_spread_over_workers(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(app=FLASK, test_webhook=SOUND)
    pytester.runpytest_subprocess(*OPTIONS, "-n", "2").assert_outcomes(passed=TESTS)


def test_it_needs_the_plugins_own_dependencies_alone(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("""
        import sys

        def pytest_sessionfinish():
            loaded = {name.partition(".")[0] for name in sys.modules}
            print("LOADED", sorted(loaded & {"rich", "jsonschema", "sqlalchemy"}))
    """)
    pytester.makepyfile(app=FLASK, test_webhook=SOUND)
    result = pytester.runpytest_subprocess(*OPTIONS, "-s", "-p", "no:xdist", "-k", "busy")
    result.stdout.fnmatch_lines(["*LOADED [[][]]*"])


def test_the_application_is_a_fastapi_one(pytester: pytest.Pytester) -> None:
    app = """
        from fastapi import FastAPI
        from pydantic import BaseModel

        class Cdr(BaseModel):
            verification_call_uuid: str
            q931_status: int | None = None
            final_status: str | None = None

        def create_app():
            app = FastAPI()

            @app.post("/webhooks/mcn", status_code=204)
            async def webhook(cdr: Cdr) -> None:
                pass

            return app
    """
    run(pytester, SOUND, app=app).assert_outcomes(passed=TESTS)


def test_a_wsgi_application_shares_the_tests_own_database_connection(pytester: pytest.Pytester) -> None:
    """SQLite refuses a connection on another thread, so that a record has to be delivered on the test's own."""
    app = """
        import sqlite3
        from flask import Flask, request

        def create_app():
            app = Flask(__name__)
            app.ended = sqlite3.connect(":memory:")
            app.ended.execute("CREATE TABLE ended (uuid TEXT PRIMARY KEY)")

            @app.post("/webhooks/mcn")
            def webhook():
                uuid = request.get_json()["verification_call_uuid"]
                app.ended.execute("INSERT OR IGNORE INTO ended VALUES (?)", [uuid])
                return "", 204

            return app
    """
    test = f"""{SOUND}
        skip = {{"duplicate_at_once": "one connection"}}

        def check(self, case, exchanges):
            assert len(self.app.ended.execute("SELECT * FROM ended").fetchall()) == 1
            self.app.ended.close()
    """
    run(pytester, test, "-k", "busy or duplicate", app=app).assert_outcomes(passed=2, skipped=1)


FAULTY = FLASK.replace('cdr.get("final_status", "UNAVAILABLE")', 'cdr["final_status"]')


@pytest.mark.parametrize(
    "lets_out,diagnosis",
    [
        ("", "answered 500 to"),
        ("; self.app.testing = True", "raised KeyError: 'final_status' (app.py:*) on"),
    ],
)
def test_a_failure_shows_the_diagnosis_and_the_hint_and_no_traceback(
    pytester: pytest.Pytester, lets_out: str, diagnosis: str
) -> None:
    result = run(
        pytester, SOUND.replace("create_app()", f"create_app(){lets_out}"), "-k", "rejected or busy", app=FAULTY
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*TestWebhook.test_webhook[[]rejected]*",
            f"error: {diagnosis} a record of a rejected call, which has no final_status",
            "  to fix it: the article documents no final_status for a rejected call: read it with .get()*",
            "  a correct endpoint answers 2xx within the operator's time-out",
            "  why it is sent: *article*",
        ]
    )
    result.stdout.no_fnmatch_line("*webhook_contract.py*")


def test_the_users_hooks_see_the_calls_before_and_the_exchanges_after(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        SOUND
        + """
        def before(self, case, calls):
            assert all(call.endswith("_42") for call in calls)
            self.app.ended.update(dict.fromkeys(calls, "ringing"))

        def check(self, case, exchanges):
            if case.name == "busy":
                (exchange,) = exchanges
                assert exchange.status == 204
                assert self.app.ended == {exchange.cdr["verification_call_uuid"]: "NO ANSWER"}
            if case.name == "unknown_uuid":
                assert len(self.app.ended) == 1  # it was not among the calls
            assert case.name != "answered", "the user's own"

        account_id = "42"
        """,
        "-k",
        "busy or unknown_uuid or answered or duplicate",
    )
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*AssertionError: the user's own*"])


def test_a_call_that_is_not_known_is_a_warning_unless_the_class_is_strict(pytester: pytest.Pytester) -> None:
    app = FLASK.replace(
        "app.ended[", 'if cdr["verification_call_uuid"] not in app.ended: return "", 404\n            app.ended['
    )
    knows = """
        def before(self, case, calls):
            self.app.ended.update(dict.fromkeys(calls, "ringing"))
    """
    pytester.makepyfile(app=app, test_webhook=SOUND)
    result = pytester.runpytest_inprocess(*OPTIONS[2:], "-W", "default", "-k", "busy or unknown_uuid")
    result.assert_outcomes(passed=2, warnings=2)
    result.stdout.fnmatch_lines(["*warning: answered 404 to a record of a busy number*"])
    strict = f"{SOUND}\n        strict = True\n{knows}"
    run(pytester, strict, "-k", "busy or unknown_uuid", app=app).assert_outcomes(passed=1, failed=1)


def test_a_path_that_nothing_is_served_under_is_a_fault(pytester: pytest.Pytester) -> None:
    result = run(pytester, SOUND.replace("/webhooks/mcn", "/webhook"), "-k", "busy")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*nothing is served at the path*"])


def test_the_webhook_is_a_url(pytester: pytest.Pytester) -> None:
    with served(sound) as url:
        result = run(pytester, SOUND.replace('self.app, "/webhooks/mcn"', repr(url)))
    result.assert_outcomes(passed=TESTS)


def test_the_subscription_is_get(pytester: pytest.Pytester) -> None:
    app = FLASK.replace("app.post", "app.get").replace("request.get_json()", "request.args.to_dict()")
    headers = '\n        headers = {"X-Tenant": "7"}\n        method = "GET"\n'
    result = run(pytester, SOUND + headers, app=app.replace("return app", "return app if True else None"))
    assert result.ret == pytest.ExitCode.OK
    assert 20 < result.parseoutcomes()["passed"] < TESTS


def test_the_subscription_sends_the_whole_event(pytester: pytest.Pytester) -> None:
    app = FLASK.replace(
        "cdr = request.get_json()",
        """event = request.get_json()
            cdr = event.get("data") if isinstance(event, dict) else None""",
    )
    test = f"""{SOUND}
        all_variables = True

        def check(self, case, exchanges):
            if case.name == "busy":
                (exchange,) = exchanges
                assert self.app.ended == {{exchange.cdr["data"]["verification_call_uuid"]: "NO ANSWER"}}
    """
    result = run(pytester, test, app=app)
    assert (result.ret, "repeated_key" in str(result.outlines)) == (pytest.ExitCode.OK, False)
    assert result.parseoutcomes()["passed"] == sum(not case.optional for case in choose(Form.WHOLE))


def test_the_subscription_is_a_text(pytester: pytest.Pytester) -> None:
    app = FLASK.replace("request.get_json()", "dict(zip(KEYS, request.get_data(as_text=True).split('/')))")
    app = app.replace("import json", 'KEYS = ("verification_call_uuid", "final_status")')
    template = "${{verification_call_uuid}}/${{final_status}}"
    result = run(pytester, f'{SOUND}\n        data_type = "text"\n        template = "{template}"\n', app=app)
    assert result.ret == pytest.ExitCode.OK
    assert 20 < result.parseoutcomes()["passed"] < TESTS


def test_an_application_that_hangs_is_failed(pytester: pytest.Pytester) -> None:
    """An ASGI one whatever is sent; a WSGI one where several records are sent at once, on threads of their own."""
    asgi = """
        import asyncio

        def create_app():
            async def app(scope, receive, send):
                await asyncio.Event().wait()

            return app
    """
    timeout = "\n        timeout_s = 0.2\n"
    result = run(pytester, SOUND + timeout, "-k", "busy or duplicate_at_once", app=asgi)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["error: gave no answer within 0.2 s to a record of a busy number"])
    wsgi = """
        import threading

        def create_app():
            return lambda environ, start_response: threading.Event().wait(60)
    """
    result = run(pytester, SOUND + timeout, "-k", "duplicate_at_once", app=wsgi)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["error: gave no answer within 0.2 s to a record that is sent five times at once (5 of 5)"]
    )


@pytest.mark.parametrize(
    "change,message",
    [
        (("def webhook(self):", "def other(self):"), "*TestWebhook must override the fixture webhook*"),
        (('return self.app, "/webhooks/mcn"', "return 5"), "*5 is neither a URL nor a WSGI or ASGI application*"),
        (('"/webhooks/mcn"', '"webhooks"'), "*start it with a slash*"),
        (('self.app, "/webhooks/mcn"', "'ftp://x'"), "*not an http or https URL*"),
        (("@pytest", "skip = {'answred': ''}\n\n        @pytest"), "*no case is called 'answred'; did you mean*"),
        (
            ("@pytest", "skip = {'repeated_key': ''}\n\n        @pytest"),
            "*skip: case 'repeated_key' is not for the form*",
        ),
        (("@pytest", "skip = {'empty_get': ''}\n\n        @pytest"), "*skip: case 'empty_get' runs only on the*"),
        (("@pytest", "method = 'PUT'\n\n        @pytest"), "*method is 'PUT'; use POST or GET*"),
        (("@pytest", "data_type = 'xml'\n\n        @pytest"), "*data_type is 'xml'; use json or text*"),
        (("@pytest", "timeout_s = 0\n\n        @pytest"), "*invalid timeout 0*"),
        (("@pytest", "template = 'x'\n\n        @pytest"), '*template is for data_type = "text"*'),
        (("@pytest", "data_type = 'text'\n\n        @pytest"), "*template is missing*"),
        (("@pytest", "all_variables = 1\n\n        @pytest"), "*all_variables is 1*"),
        (("@pytest", "account_id = 'x'\n\n        @pytest"), "*use one to fifteen digits*"),
    ],
)
def test_a_mistake_in_the_class_is_told(pytester: pytest.Pytester, change: tuple[str, str], message: str) -> None:
    result = run(pytester, SOUND.replace(*change), "-k", "busy")
    assert result.ret != pytest.ExitCode.OK
    result.stdout.fnmatch_lines([message])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_an_endpoint_with_a_certificate_of_its_own_is_trusted_if_asked(pytester: pytest.Pytester) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(pytester.path / "ca.pem"))
    with served(sound, authority.issue_cert("127.0.0.1")) as url:
        for attribute, outcome in (("cacert = 'ca.pem'", "passed"), ("insecure = True", "passed"), ("", "failed")):
            test = SOUND.replace("@pytest", f"{attribute}\n\n        @pytest").replace(
                'self.app, "/webhooks/mcn"', repr(url)
            )
            run(pytester, test, "-k", "answered").assert_outcomes(**{outcome: 1})
