"""Which certificates an https endpoint may have."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Trust:
    """The certificates that are accepted: by default those that this machine trusts.

    ``cacert`` is the path of a PEM file of authorities that are trusted in place of the machine's, and ``authorities``
    is its text, read when the webhook was made. ``insecure`` accepts any certificate, and any host name in it.
    """

    cacert: str | None = None
    insecure: bool = False
    authorities: str | None = field(default=None, repr=False)


MACHINE = Trust()
"""The authorities that this machine trusts."""
