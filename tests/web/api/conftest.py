"""The two servers that answer the client API, each with an account."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.client import Api
from helpers.sandbox import ACCOUNT, running_sandbox

from pytest_mcn_mock import MCNServer


@pytest.fixture(scope="session")
def sandbox_api() -> Iterator[Api]:
    other = '[[account]]\nid = 87654321\ntoken = "other-token"\n'
    with running_sandbox(config=f'{ACCOUNT}numbers = ["79158888888"]\n{other}') as sandbox:
        yield Api(sandbox.url, "12345678", "test-token", "other-token")


@pytest.fixture(params=["fixture", "sandbox"])
def api(request: pytest.FixtureRequest, mcn_server: MCNServer) -> Iterator[Api]:
    if request.param == "sandbox":
        yield request.getfixturevalue("sandbox_api")
        return
    account, other = (mcn_server.open_account(numbers=n, strict=False) for n in (["79158888888"], []))
    yield Api(mcn_server.url, account.account_id, account.token, other.token)
    account.close()
    other.close()
