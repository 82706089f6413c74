"""Resolves names for the sender, and leaves out addresses that no webhook may have."""

from __future__ import annotations

import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from pytest_mcn_mock.domain.targets import Targets


class NotATarget(OSError):
    """A name resolved to nothing that is allowed. An OSError, because that is what a resolver raises."""


class TargetResolver(AbstractResolver):
    """The system's resolver within the targets. It is asked before every new connection, so that a name which resolves
    to something else the second time is looked at the second time.
    """

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of the host that are allowed; NotATarget where none is."""
        found = await self._system.resolve(host, port, family)
        if self._targets.allows_name(host):
            return found
        allowed = [result for result in found if self._targets.allows_address(result["host"])]
        if not allowed:
            addresses = ", ".join(sorted({result["host"] for result in found})[:4])
            raise NotATarget(f"{host} is {addresses}, which is not among the webhook_targets")
        return allowed

    async def close(self) -> None:
        """Nothing is kept."""
        await self._system.close()
