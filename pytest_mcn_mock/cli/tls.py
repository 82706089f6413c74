"""The sandbox's certificate: a given one, or one of a throw-away authority."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_mcn_mock.errors import ConfigError

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory


class Tls(Struct, frozen=True):
    """The certificate of a server. ``authority`` is the file to trust if it is a throw-away one."""

    certificate: Path
    key: Path
    authority: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context that the server speaks TLS with. Remove the key after it is read, if it is ours."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        if self.authority is not None:
            self.key.unlink(missing_ok=True)
        return context


class TlsChoice(Struct, frozen=True):
    """How to serve: without TLS, with a given certificate and key, or ``self_signed``."""

    certificate: Path | None = None
    key: Path | None = None
    self_signed: bool = False

    @property
    def is_on(self) -> bool:
        """Return whether TLS is spoken."""
        return self.self_signed or self.certificate is not None


@contextmanager
def prepared(choice: TlsChoice, host: str) -> Iterator[Tls | None]:
    """Yield the certificate for a server on ``host``, or None without TLS. Raise ConfigError if it cannot be used.

    A throw-away one is in a folder that only this user can read. The folder is removed at the end.
    """
    if choice.self_signed:
        if choice.certificate is not None or choice.key is not None:
            raise ConfigError("mcn-mock", ["give either --tls-self-signed or --tls-cert and --tls-key, not both"])
        with _folder() as folder:
            try:
                tls = _issue(Path(folder), host)
            except OSError as error:
                raise ConfigError(
                    "mcn-mock", [f"the certificate cannot be written to {folder}: {error.strerror}"]
                ) from error
            yield tls
    elif choice.certificate is None and choice.key is None:
        yield None
    elif choice.certificate is None or choice.key is None:
        raise ConfigError("mcn-mock", ["--tls-cert and --tls-key go together"])
    else:
        _check(choice.certificate, choice.key)
        yield Tls(choice.certificate, choice.key)


def _folder() -> TemporaryDirectory[str]:
    import tempfile

    try:
        return tempfile.TemporaryDirectory(prefix="mcn-mock-", ignore_cleanup_errors=True)
    except OSError as error:
        # Python has a list of folders that it tries, TMPDIR first; the chosen one may be full.
        why = f"{error.strerror}: {error.filename or tempfile.gettempdir()}" if error.filename else str(error.strerror)
        raise ConfigError(
            "mcn-mock", [f"--tls-self-signed needs a folder for temporary files, see TMPDIR: {why}"]
        ) from error


def _issue(folder: Path, host: str) -> Tls:
    try:
        import trustme
    except ImportError as error:
        raise ConfigError(
            "mcn-mock", [f"--tls-self-signed needs {error.name}: pip install 'pytest-mcn-mock[sandbox]'"]
        ) from error
    names = dict.fromkeys(("localhost", "127.0.0.1", "::1", *(() if host in {"0.0.0.0", "::"} else (host,))))  # noqa: S104
    authority = trustme.CA(organization_name="mcn-mock, a throw-away authority")
    issued = authority.issue_cert(*names)
    tls = Tls(folder / "server.pem", folder / "server.key", folder / "authority.pem")
    authority.cert_pem.write_to_path(str(tls.authority))
    tls.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    with os.fdopen(os.open(tls.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(issued.private_key_pem.bytes())
    return tls


def _check(certificate: Path, key: Path) -> None:
    for path in (certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from error
    try:
        # With a password the key would be asked for on the terminal, and the server could not read it.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ConfigError(
            str(certificate), [f"is not a certificate with its unencrypted key in {key}: {reason}"]
        ) from error
