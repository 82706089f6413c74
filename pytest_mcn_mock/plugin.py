"""The pytest plugin: its fixtures, its marker and what it adds to a failing test's report.

Imports nothing but pytest until a fixture is used: pytest loads this in every run of everybody who installs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_mcn_mock.settings import Settings
    from pytest_mcn_mock.testing.account import Account
    from pytest_mcn_mock.testing.server import MCNServer

_ACCOUNT = pytest.StashKey["Account"]()
_FAILED = pytest.StashKey[bool]()
_STORY = pytest.StashKey[str]()
_SERVER = pytest.StashKey["MCNServer"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini options."""
    parser.addini("mcn_strict", "Whether what went wrong on a test's account fails the test", type="bool", default=True)
    parser.addini("mcn_fidelity", "What an application may rely on: documented, observed or assumed", default="assumed")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "mcn(strict=…, fidelity=…, balance=…, seed=…, outcome=…, tariff=…): settings of the mcn fixture's account",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Add the account's story to the report of a test that failed, once."""
    report: pytest.TestReport = yield
    account = item.stash.get(_ACCOUNT, None)
    if account is not None and report.failed and not item.stash[_FAILED]:
        item.stash[_FAILED] = True
        from pytest_mcn_mock.testing.session import tell_raised

        lines = [item.stash[_STORY] or _tell(account)]
        lines += tell_raised(item.config.stash[_SERVER].errors, call.excinfo.value if call.excinfo else None)
        report.sections.append(("mcn-mock", "\n".join(lines)))
    return report


def _tell(account: Account) -> str:
    try:
        return account.story()
    except Exception as error:  # an error in a report would end the whole run
        return f"the account's story could not be told: {error!r}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Any:
    """Reset the server after each test, and fail the test by what a handler raised that ``mcn`` has not told of."""
    __tracebackhide__ = True
    server = item.config.stash.get(_SERVER, None)
    try:
        result = yield
        if server is not None and server.errors and not item.stash.get(_FAILED, False):
            from pytest_mcn_mock.testing.session import raise_errors

            raise_errors(server)
    finally:
        if server is not None:
            server.clear()
    return result


@pytest.fixture(scope="session")
def mcn_settings() -> Settings:
    """The settings of ``mcn_server``; override it to change the tariff or what is assumed of the vendor."""
    from pytest_mcn_mock.settings import Settings

    return Settings()


@pytest.fixture(scope="session")
def mcn_server(request: pytest.FixtureRequest, mcn_settings: Settings) -> Iterator[MCNServer]:
    """A fake api.mcn.ru in this process, on a free port of the loopback interface, for the whole session.

    What is registered on it is gone when the test ends, and what a handler raised fails the test.
    """
    from pytest_mcn_mock.testing.server import MCNServer

    with MCNServer(settings=mcn_settings) as server:
        request.config.stash[_SERVER] = server
        yield server


@pytest.fixture
def mcn(request: pytest.FixtureRequest, mcn_server: MCNServer) -> Iterator[Account]:
    """An account of the test's own on ``mcn_server``: 100 roubles, no numbers, no subscriptions.

    Its seed comes from the test's name, so that a test draws the same numbers and uuids in every run. What went wrong
    on the account or on the server, and was not expected, fails the test when it ends; see the marker ``mcn``.
    """
    from pytest_mcn_mock.testing.session import open_for_test, raise_mistakes

    __tracebackhide__ = True
    request.config.stash[_SERVER] = mcn_server  # which may be the user's own
    # What an earlier run of the same test has left there, which some plugins repeat, is not this one's.
    request.node.stash[_FAILED] = False
    request.node.stash[_STORY] = ""
    ini = request.config.getini
    account, strict = open_for_test(mcn_server, request.node, strict=ini("mcn_strict"), fidelity=ini("mcn_fidelity"))
    request.node.stash[_ACCOUNT] = account
    try:
        yield account
        # A test that has failed says why already, and its report shows the account's story.
        if not request.node.stash[_FAILED]:
            raise_mistakes(account, mcn_server, strict=strict)
    finally:
        # What fails after this, such as another fixture's end, is reported when the account is gone.
        request.node.stash[_STORY] = _tell(account)
        account.close()


@pytest.fixture
def mcn_intercept(mcn_server: MCNServer) -> Iterator[str]:
    """``https://api.mcn.ru`` and ``https://api.mcntele.com`` reach ``mcn_server`` from this process; the base URL.

    Needs the extra ``intercept``. Name resolution and trust are as before when the test ends.
    """
    try:
        from pytest_mcn_mock.testing.intercept import intercepted
    except ModuleNotFoundError as error:
        if error.name != "trustme":
            raise
        pytest.fail("mcn_intercept needs trustme: pip install 'pytest-mcn-mock[intercept]'", pytrace=False)

    with intercepted(mcn_server) as base_url:
        yield base_url
