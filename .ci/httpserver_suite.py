"""Run pytest-httpserver's own test suite with MCNServer in place of its HTTPServer.

Left out are the tests that assert on a request that no handler matches, which the operator answers: with 404 and not
500, and without an assertion of pytest-httpserver's.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

SWAP = """
import pytest_httpserver, pytest_httpserver.httpserver, pytest_httpserver.pytest_plugin
from pytest_mcn_mock import MCNServer

class HTTPServer(MCNServer):
    def __init__(self, host="localhost", port=0, *arguments, threaded=False, **settings):
        super().__init__(host, port, *arguments, threaded=threaded, **settings)

for module in (pytest_httpserver, pytest_httpserver.httpserver, pytest_httpserver.pytest_plugin):
    module.HTTPServer = HTTPServer
"""
ABOUT_UNHANDLED_REQUESTS = (
    "tests/examples/test_howto_custom_request_matcher.py::test_custom_request_matcher",
    "tests/examples/test_howto_log_querying.py::test_log_querying_example",
    "tests/test_bake.py::test_bake_oneshot",
    "tests/test_handler_errors.py::test_missing_matcher_raises_exception",
    "tests/test_headers.py::test_custom_headers",
    "tests/test_json_matcher.py::test_json_matcher",
    "tests/test_json_matcher.py::test_json_matcher_with_invalid_json",
    "tests/test_mixed.py::test_all_ordered_missing",
    "tests/test_oneshot.py::test_oneshot",
    "tests/test_ordered.py::test_ordered_ok",
    "tests/test_ordered.py::test_ordered_invalid_order",
    "tests/test_permanent.py::test_unexpected_request",
    "tests/test_querystring.py::test_querystring_empty_value_does_not_match_missing",
    "tests/test_urimatch.py::test_uripattern_object",
    "tests/test_urimatch.py::test_regexp",
    "tests/test_urimatch.py::test_object_with_eq",
    "tests/test_wait.py::test_wait_unexpected_request",
)


def main() -> int:
    """Fetch the sources of the installed version, which hold its tests, and run them."""
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        wanted = f"pytest-httpserver=={version('pytest-httpserver')}"
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--no-binary", "pytest-httpserver", "--dest", str(work), wanted], check=True)
        with tarfile.open(next(work.glob("*.tar.gz"))) as sources:
            sources.extractall(work, filter="data")
        suite = next(path for path in work.iterdir() if path.is_dir())
        (suite / "swap.py").write_text(SWAP, encoding="utf-8")
        left_out = [f"--deselect={test}" for test in ABOUT_UNHANDLED_REQUESTS]
        plugins = ["-p", "swap", "-p", "no:randomly", "-p", "no:xdist"]
        command = [sys.executable, "-m", "pytest", "-q", *plugins, *left_out, "tests"]
        return subprocess.run(command, cwd=suite, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
