"""The webhook of every example is sound."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.sandbox import MCN_MOCK

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
_WSGI = """
import logging
from werkzeug.serving import make_server

logging.disable()
server = make_server("127.0.0.1", 0, application, threaded=True)
print(f"http://127.0.0.1:{server.port}/webhooks/mcn", flush=True)
server.serve_forever()
"""
FLASK = f"from app import create_app\n\napplication = create_app()\n{_WSGI}"
DJANGO = f"""
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
call_command("migrate", verbosity=0)
{_WSGI}"""
NODE = """
import { createApp } from "./app.js";

const server = createApp({ baseUrl: "http://127.0.0.1:1/v2/rest", account: "1", token: "t" });
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/webhooks/mcn`));
"""
SERVERS = {
    "flask_login": (sys.executable, "-c", FLASK),
    "django_login": (sys.executable, "-c", DJANGO),
    "node_login": ("node", "--input-type=module", "--eval", NODE),
}


@contextmanager
def serving(example: str, folder: Path) -> Iterator[str]:
    """The webhook's URL of an example that runs in a process of its own, in a copy of its folder."""
    shutil.copytree(EXAMPLES / example, folder, ignore=shutil.ignore_patterns("*.sqlite3", "__pycache__"))
    with subprocess.Popen(SERVERS[example], cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize("example", SERVERS)
def test_the_webhook_of_the_example_is_sound(tmp_path: Path, example: str) -> None:
    if shutil.which(SERVERS[example][0]) is None:
        pytest.skip(f"{SERVERS[example][0]} is missing")
    with serving(example, tmp_path / example) as url:
        command = [MCN_MOCK, "check", url, "--strict", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    found = [result for result in json.loads(done.stdout)["results"] if result["findings"]]
    assert (done.returncode, done.stderr, found) == (0, "", [])


def test_the_webhook_of_the_fastapi_example_is_sound(pytester: pytest.Pytester) -> None:
    pytester.syspathinsert(EXAMPLES / "fastapi_login")
    pytester.makepyfile("""
        import pytest
        from main import app
        from pytest_mcn_mock import WebhookContract

        class TestWebhook(WebhookContract):
            strict = True

            @pytest.fixture
            def webhook(self):
                return app, "/webhooks/mcn"
    """)
    result = pytester.runpytest_inprocess("-o", "asyncio_default_fixture_loop_scope=function")
    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes()["passed"] > 50
