from __future__ import annotations

import signal
import socket
import ssl
import stat
import struct
import subprocess
from pathlib import Path

import pytest
import requests
import trustme
from helpers.client import RUSSIAN
from helpers.sandbox import MCN_MOCK, running_sandbox


def run(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run([MCN_MOCK, "serve", *arguments], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def place(url: str, authority: str) -> int:
    return requests.post(
        f"{url}/v2/rest/account/12345678/flash_call?login_did={RUSSIAN}",
        headers={"Authorization": "Bearer test-token"},
        verify=authority,
        timeout=30,
    ).status_code


def test_a_throw_away_certificate_works_with_the_command_that_is_printed(tmp_path: Path) -> None:
    options = ("--tls-self-signed", "--admin-token", "a-long-token")
    with running_sandbox(*options, environment={"TMPDIR": str(tmp_path)}) as sandbox:
        assert sandbox.url.startswith("https://127.0.0.1:")
        done = subprocess.run(["bash", "-c", sandbox.greeting[1]], capture_output=True, text=True, check=True)
        assert '"status": "success"' in done.stdout
        (folder,) = tmp_path.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        # The key was read: there is nothing left of it to steal.
        assert sorted(path.name for path in folder.iterdir()) == ["authority.pem", "server.pem"]
        assert not any("PRIVATE KEY" in path.read_text() for path in folder.iterdir())
        assert str(folder / "authority.pem") in sandbox.greeting[1]
        assert place(sandbox.url.replace("127.0.0.1", "localhost"), str(folder / "authority.pem")) == 200
        session = requests.post(
            f"{sandbox.url}/__admin/session", json={"token": "a-long-token"}, verify=str(folder / "authority.pem"),
            timeout=30,
        )  # fmt: skip
        assert session.headers["Set-Cookie"].endswith("; HttpOnly; SameSite=Strict; Secure")
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{sandbox.url}/__admin/health", timeout=30)
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(f"{sandbox.url}/__admin/health".replace("https", "http"), timeout=30)
        assert sandbox.stop(signal.SIGTERM)[0] == 0
    assert list(tmp_path.iterdir()) == []


def test_a_client_of_tls_that_leaves_without_reading_is_worth_no_warning() -> None:
    sent = f"POST /v2/rest/account/12345678/flash_call?login_did={RUSSIAN} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with running_sandbox("--tls-self-signed", "--log-level", "warning") as sandbox:
        for _ in range(10):
            with sandbox.connect() as plain, context.wrap_socket(plain) as connection:
                connection.sendall(sent * 50)
                connection.recv(1)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        status, _, err = sandbox.stop(signal.SIGTERM)
    assert (status, err) == (0, "")


def test_a_given_certificate_is_shown(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    options = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    with running_sandbox(*options) as sandbox:
        assert place(sandbox.url, str(tmp_path / "ca.pem")) == 200
        port = int(sandbox.url.rpartition(":")[2])
        assert ssl.get_server_certificate(("127.0.0.1", port)) == (tmp_path / "cert.pem").read_text()
        sandbox.stop()
    assert (tmp_path / "key.pem").exists()


def test_what_cannot_be_shown_ends_the_start(tmp_path: Path) -> None:
    one, other = (trustme.CA().issue_cert("localhost") for _ in range(2))
    one.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    other.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    cert, key, none = (str(tmp_path / name) for name in ("cert.pem", "key.pem", "none.pem"))
    for arguments, problem in (
        (("--tls-cert", cert), "--tls-cert and --tls-key go together"),
        (("--tls-cert", cert, "--tls-key", key, "--tls-self-signed"), "not both"),
        (("--tls-cert", none, "--tls-key", key), "none.pem: cannot be read: No such file"),
        (("--tls-cert", cert, "--tls-key", key), "cert.pem: is not a certificate with its unencrypted key in"),
    ):
        status, out, err = run(*arguments)
        assert (status, out) == (2, "")
        assert problem in err
        assert "Traceback" not in err
