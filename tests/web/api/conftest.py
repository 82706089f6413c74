"""The two servers that answer the client API, each with an account."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.client import Api
from helpers.sandbox import running_sandbox

from pytest_mcn_mock import MCNServer


@pytest.fixture(scope="session")
def sandbox_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    config = tmp_path_factory.mktemp("sandbox") / "mcn-mock.toml"
    config.write_text(
        """
        [[account]]
        id = 12345678
        token = "test-token"
        balance = "100.00"
        numbers = ["79158888888"]
        [[account]]
        id = 87654321
        token = "other-token"
        """
    )
    with running_sandbox("--config", str(config)) as sandbox:
        yield Api(sandbox.url, "12345678", "test-token", "other-token")


@pytest.fixture(params=["fixture", "sandbox"])
def api(request: pytest.FixtureRequest, mcn_server: MCNServer) -> Iterator[Api]:
    if request.param == "sandbox":
        yield request.getfixturevalue("sandbox_api")
        return
    account, other = mcn_server.open_account(numbers=["79158888888"]), mcn_server.open_account()
    yield Api(mcn_server.url, account.account_id, account.token, other.token)
    account.close()
    other.close()
