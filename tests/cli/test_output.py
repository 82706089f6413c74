"""Standard output and standard error that cannot be written, or that nobody reads; and signals that end the sandbox."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from http.client import HTTPConnection
from pathlib import Path

import pytest
import requests
from helpers.client import RUSSIAN
from helpers.sandbox import MCN_MOCK, Sandbox, running_sandbox, wait_until

from pytest_mcn_mock.cli import output

STOPPED = "mcn-mock stopped; no CDR is pending\n"


def run(command: list[str], redirection: str) -> subprocess.CompletedProcess[str]:
    """Run ``mcn-mock`` in a shell, which redirects an output."""
    line = ["bash", "-c", f'"$@" {redirection}', "bash", MCN_MOCK, *command]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def called() -> Iterator[Sandbox]:
    """A sandbox in which there is something to list."""
    with running_sandbox() as sandbox:
        sandbox.flash_call()
        yield sandbox


@contextmanager
def busy(sandbox: Sandbox) -> Iterator[None]:
    """Requests arrive meanwhile, so that ``tail`` has something to print."""
    ends = threading.Event()

    def ask() -> None:
        while not ends.wait(0.05):
            requests.post(f"{sandbox.url}/v2/rest/account/12345678/flash_call", timeout=30)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        ends.set()
        asking.join()


@pytest.mark.parametrize(
    "words,redirection",
    [
        ("--help", ">&-"),
        ("calls --url {url}", ">/dev/full"),
        ("accounts --json --url {url}", ">&-"),
        ("tail --url {url}", ">/dev/full"),
        ("check --list", ">&-"),
        ("schema config", ">/dev/full"),
        ("serve --port 0", ">&-"),
        ("serve --port 0", ">/dev/full"),
    ],
)
def test_a_standard_output_that_cannot_be_written_is_said_in_one_line(
    called: Sandbox, words: str, redirection: str
) -> None:
    with busy(called) if "tail" in words else nullcontext():
        done = run(words.format(url=called.url).split(), redirection)
    (line,) = (line for line in done.stderr.splitlines() if not line.startswith("mcn-mock: listens to"))
    assert done.returncode == 1
    assert line.startswith("mcn-mock: standard output cannot be written: ")


@pytest.mark.parametrize(
    "words,redirection,status",
    [
        ("--help", "2>&-", 0),
        ("calls --url {url}", "2>/dev/full", 0),
        ("calls --no-such-option", "2>&-", 2),
        ("calls show no-such-call --url {url}", "2>/dev/full", 1),
        ("calls --url http://127.0.0.1:1", "2>&-", 3),
        ("serve --config /no/such/file.toml", "2>/dev/full", 2),
    ],
)
def test_a_standard_error_that_cannot_be_written_changes_no_status(
    called: Sandbox, words: str, redirection: str, status: int
) -> None:
    done = run(words.format(url=called.url).split(), redirection)
    assert (done.returncode, done.stderr) == (status, "")
    assert bool(done.stdout) is (status == 0)


@pytest.mark.parametrize("redirection", ["2>/dev/full", "<&- 2>&-"])
def test_the_sandbox_needs_no_log_and_no_input(tmp_path: Path, redirection: str) -> None:
    """With a state: a closed descriptor's number must not become the database's, which the log would then overwrite."""
    state = tmp_path / "state.db"
    line = ["bash", "-c", f'exec "$@" {redirection}', "bash", MCN_MOCK, "serve", "--port", "0"]
    arguments = ["--state", f"sqlite:///{state}", "--log-level", "debug"]
    with subprocess.Popen([*line, *arguments], stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        url = re.findall(r"http://[0-9.:]+", process.stdout.readline())[0]
        for _ in range(5):
            refused = requests.post(f"{url}/v2/rest/account/12345678/flash_call", timeout=30)
            assert refused.status_code == 401
        process.terminate()
        assert process.communicate(timeout=60)[0].endswith(STOPPED)
        assert process.returncode == 0
    assert state.read_bytes().startswith(b"SQLite format 3\0")


@contextmanager
def unread() -> Iterator[tuple[subprocess.Popen[bytes], HTTPConnection, int]]:
    """A sandbox with both its outputs in a pipe that nobody reads; a client of it, and the pipe's end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    reads, writes = os.pipe()
    program = "from pytest_mcn_mock.cli import main, output; output.Outlet.MAX_SIZE = 20_000; main()"
    command = [sys.executable, "-c", program, "serve", "--port", str(port)]
    with (
        subprocess.Popen(command, stdout=writes, stderr=writes) as process,
        closing(HTTPConnection("127.0.0.1", port, timeout=30)) as client,
    ):
        os.close(writes)
        try:
            wait_until(lambda: process.poll() is not None or listens(port))
            yield process, client, reads
        finally:
            process.kill()
            os.close(reads)


def log_a_line(client: HTTPConnection) -> None:
    """Place the cheapest call: each has a line, but refusals share one a second."""
    path = "/v2/rest/account/12345678/call_for_2fa?caller_did=79158888888&login_did=79157777777"
    client.request("POST", path, headers={"Authorization": "Bearer test-token"})
    response = client.getresponse()
    assert response.status == 200
    response.read()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except OSError:
        return False
    return True


def test_a_reader_of_the_log_who_has_stopped_reading_stops_nobody() -> None:
    with unread() as (process, client, reads):
        lost = 0
        while not lost:  # far more than the pipe and the queue behind it take
            for _ in range(50):
                log_a_line(client)
            client.request("GET", "/__admin/metrics")
            metrics = client.getresponse().read().decode()
            lost = int(float(re.findall(r'mcn_mock_dropped_total\{what="log_lines"\} (\S+)', metrics)[0]))
        os.set_blocking(reads, False)
        told = ""
        while "lines of the log were lost" not in told:
            log_a_line(client)
            try:
                told = told[-200:] + os.read(reads, 1_000_000).decode()
            except BlockingIOError:
                continue
        process.terminate()
        assert process.wait(60) == 0


def test_a_stuck_log_does_not_keep_it_from_ending() -> None:
    with unread() as (process, client, _):
        for _ in range(300):
            log_a_line(client)
        process.terminate()
        assert process.wait(60) == 0


def test_lines_that_come_fast_are_written_together_and_the_last_ones_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(output.Outlet, "GATHER_S", 3600.0)
    reads, writes = os.pipe()
    with os.fdopen(writes, "w") as stream, os.fdopen(reads, "rb", buffering=0) as reader:
        outlet = output.Outlet(stream)
        outlet.put("1\n")
        assert reader.read(100) == b"1\n"
        outlet.put("2\n")
        assert select.select([reader], [], [], 0.2)[0] == []
        outlet.put("3\n")
        outlet.close(60)
        assert reader.read(100) == b"2\n3\n"


def test_it_goes_on_when_the_reader_of_the_first_line_has_left() -> None:
    """``mcn-mock serve | head -1``: what is in the line is known then."""
    with running_sandbox(last="mcn-mock listens on ") as sandbox:
        assert sandbox.process.stdout is not None
        sandbox.process.stdout.close()
        assert sandbox.flash_call()["login_did"] == RUSSIAN
        sandbox.process.terminate()
        assert sandbox.process.wait(60) == 0


def test_a_reader_who_has_left_before_the_first_line_ends_it_with_a_message() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    command = [MCN_MOCK, "serve", "--port", "0"]
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    os.close(writes)
    assert (done.returncode, done.stderr) == (1, "mcn-mock: standard output cannot be written: Broken pipe\n")


def test_a_reader_who_has_seen_enough_is_not_a_failure(called: Sandbox) -> None:
    for command in (["calls", "--url", called.url], ["schema", "openapi"]):
        reads, writes = os.pipe()
        os.close(reads)
        line = [MCN_MOCK, *command]
        done = subprocess.run(line, stdout=writes, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
        os.close(writes)
        assert (done.returncode, done.stderr) == (0, "")


def test_an_argument_that_is_not_utf_8_is_said() -> None:
    for command in ("calls show \udce9", "serve --admin-token=s3cret\udcff"):
        done = subprocess.run([MCN_MOCK, *command.split()], capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"mcn-mock: argument {len(command.split())} is not UTF-8; write it in UTF-8\n"


def test_a_hang_up_ends_it_as_other_signals_do() -> None:
    with running_sandbox("--tls-self-signed") as sandbox:
        authority = Path(re.findall(r"--cacert (\S+)", sandbox.greeting[1])[0])
        assert authority.exists()
        assert sandbox.stop(signal.SIGHUP) == (0, STOPPED, "")
        assert not authority.parent.exists()


def test_a_hang_up_as_it_starts_leaves_no_certificate_behind(tmp_path: Path) -> None:
    """It comes when the certificate is there and the first line is not printed yet."""
    before = (
        "import os, signal, pytest_mcn_mock.cli.server as server; listen = server.open_listener\n"
        "def hung_up(*a): os.kill(os.getpid(), signal.SIGHUP); return listen(*a)\n"
        "server.open_listener = hung_up"
    )
    with running_sandbox("--tls-self-signed", before=before, environment={"TMPDIR": str(tmp_path)}) as sandbox:
        assert sandbox.process.wait(60) == 0
        assert sandbox.process.stdout is not None
        assert sandbox.process.stdout.read() == STOPPED
    assert not list(tmp_path.glob("mcn-mock-*"))


def test_nohup_keeps_it_from_ending_with_its_terminal() -> None:
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    with running_sandbox(before=ignoring) as sandbox:
        sandbox.process.send_signal(signal.SIGHUP)
        assert sandbox.flash_call()["login_did"] == RUSSIAN
        assert sandbox.stop()[:2] == (0, STOPPED)


def test_no_folder_for_temporary_files_is_said() -> None:
    program = (
        "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/proc/nowhere']\n"
        "from pytest_mcn_mock.cli import main; main()"
    )
    command = [sys.executable, "-c", program, "serve", "--port", "0", "--tls-self-signed"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "/proc/nowhere" in done.stderr
    assert "TMPDIR" in done.stderr
