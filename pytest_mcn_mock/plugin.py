"""The pytest plugin: its fixtures, its marker and its section in a failing test's report.

It imports almost nothing but pytest until a fixture is used, because pytest loads it in every run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_mcn_mock import clocks  # noqa: F401 - before a test can stop the clock
from pytest_mcn_mock.text import encodable, printable, printable_lines

if TYPE_CHECKING:
    from pytest_mcn_mock.settings import Settings
    from pytest_mcn_mock.testing.account import Account
    from pytest_mcn_mock.testing.server import MCNServer

_FIXTURES: Final = frozenset({"mcn", "mcn_server", "mcn_intercept"})

_LEVELS: Final = frozenset({"documented", "observed", "assumed"})
"""The values of ``model.requests.Level``, which would be slow to import here."""
_OF_ANY_ACCOUNT: Final = frozenset({"strict", "fidelity"})
"""Arguments of the marker that also say what a test's other accounts may do."""

_ACCOUNT = pytest.StashKey["Account"]()
_RETURNED = pytest.StashKey[bool]()
"""Whether the test's function has returned: it was neither skipped nor interrupted, and it did not fail."""
_PASSED = pytest.StashKey[bool]()
_FAILED = pytest.StashKey[bool]()
_REPORT = pytest.StashKey[str]()
_SERVER = pytest.StashKey["MCNServer"]()
_TEST = pytest.StashKey[str]()
"""The test that runs now."""
_IS_OURS = pytest.StashKey[bool]()
"""Whether the server is the one of this plugin's fixture, and not of one that overrides it."""
_HAS_RUN = pytest.StashKey[bool]()
"""Whether the server was seen running, so that a test must have stopped it if it does not run."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini options."""
    parser.addini("mcn_strict", "Whether mistakes on a test's account fail the test", type="bool", default=True)
    parser.addini(
        "mcn_fidelity", "The level that an application may rely on: documented, observed or assumed", default="assumed"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker. End the run at once if an ini option is invalid."""
    _check_options(config)
    config.addinivalue_line(
        "markers",
        "mcn(strict=…, fidelity=…, account_id=…, token=…, balance=…, credit=…, numbers=…, seed=…, outcome=…, "
        "tariff=…): "
        "settings of the mcn fixture's account",
    )


def _check_options(config: pytest.Config) -> None:
    try:
        config.getini("mcn_strict")
    except (ValueError, TypeError, pytest.UsageError) as error:
        why = str(error).partition("\n")[0][:200]
        raise pytest.UsageError(f"invalid ini option mcn_strict ({why}): use true or false") from None
    try:
        fidelity = config.getini("mcn_fidelity")
    except (TypeError, pytest.UsageError) as error:
        fidelity = str(error).partition("\n")[0]
    if fidelity not in _LEVELS:
        raise pytest.UsageError(
            f"invalid ini option mcn_fidelity ({str(fidelity)[:200]!r}): use documented, observed or assumed"
        )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give each test that uses the server the settings that apply at the test's place."""
    names: list[str] = getattr(item, "fixturenames", [])
    if "mcn_server" in names and "mcn_settings" not in names:
        names.append("mcn_settings")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Any:
    """Keep a test's requests to the fake from a proxy, those of its fixtures too."""
    with _without_proxy() if _uses_us(item) else nullcontext():
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tell the server which test begins."""
    if _uses_us(item):
        item.config.stash[_TEST] = item.nodeid
        if _SERVER in item.config.stash:
            item.config.stash[_SERVER].opened.begin(item.nodeid)
        item.stash[_FAILED] = item.stash[_PASSED] = False  # a plugin may repeat a test


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
    """Let a fixture that uses ``mcn_server`` find the settings that apply at its test's place."""
    if "mcn_server" in fixturedef.argnames:
        _use_settings(request.config, _settings(request))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    """Prepare the server for the test itself: a fixture may have changed settings and environment since."""
    if not _uses_us(item):
        return (yield)
    __tracebackhide__ = True
    config = item.config
    _check_marker(item)
    _use_settings(config, getattr(item, "funcargs", {}).get("mcn_settings"))
    if _SERVER in config.stash:
        config.stash[_HAS_RUN] |= config.stash[_SERVER].is_running()
    item.stash[_RETURNED] = False
    _lend_certificates(item)
    with _without_proxy_again():
        result = yield
    item.stash[_RETURNED] = True
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Note whether the test has passed, and add the account's story to the report of a test that failed, once.

    This is the outermost wrapper, so that the report already reflects ``xfail``, skipping and unittest's decorators.
    """
    report: pytest.TestReport = yield
    if call.when == "call":
        is_plain = report.passed and not hasattr(report, "wasxfail")
        item.stash[_PASSED] = is_plain and item.stash.get(_RETURNED, True)
    account = item.stash.get(_ACCOUNT, None)
    server = item.config.stash.get(_SERVER, None)
    if server is not None and _uses_us(item) and report.failed and not item.stash.get(_FAILED, False):
        item.stash[_FAILED] = True
        from pytest_mcn_mock.testing.report import describe_errors

        lines = [] if account is None else [item.stash[_REPORT] or _report_of(account)]
        lines += _reports_of_others(server, item)
        errors = server.errors
        lines += map(printable, describe_errors(errors, call.excinfo.value if call.excinfo else None))
        if lines:
            report.sections.append(("mcn-mock", "\n".join(lines)))
    if account is not None or _uses_us(item):
        _make_printable(report)
    return report


def _make_printable(report: pytest.TestReport) -> None:
    r"""Escape text that an exception or a log line has taken from a request, such as ``\x1b`` or a lone surrogate.

    Because of a lone surrogate pytest-xdist would end the whole run, and pytest would print the report in one line.
    """
    report.sections = [(encodable(name), encodable(content)) for name, content in report.sections]
    if isinstance(report.longrepr, tuple):  # why it was skipped
        path, line, reason = report.longrepr
        report.longrepr = path, line, printable_lines(reason)
    elif report.longrepr is not None:
        shown = str(report.longrepr).replace("\t", "    ")
        if (escaped := printable_lines(shown)) != shown:
            report.longrepr = escaped
    if isinstance(why := getattr(report, "wasxfail", None), str):
        report.wasxfail = printable_lines(why)


def _report_of(account: Account) -> str:
    try:
        return account.story()
    except Exception as error:  # an error in a report would end the whole run
        return printable(f"the account's story could not be made: {error!r}")


def _reports_of_others(server: MCNServer, item: pytest.Item) -> list[str]:
    try:
        return server.opened.stories(list(getattr(item, "funcargs", {}).values()))
    except Exception as error:  # as above
        return [printable(f"the stories of accounts could not be made: {error!r}")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Any:
    """Reset the server after each test. Fail the test if a handler raised an exception that ``mcn`` has not reported.

    If the test has stopped the server, start it again for the next test.
    """
    __tracebackhide__ = True
    server = item.config.stash.get(_SERVER, None)
    is_stopped = server is not None and item.config.stash[_HAS_RUN] and not server.is_running()
    others: list[str] = []
    problem: Exception | None = None
    if server is not None and _uses_us(item):
        try:
            others = _other_mistakes(server, item)
        except Exception as error:  # the fixtures have to be torn down first
            problem = error
    try:
        try:
            result = yield
        except BaseException as error:
            for mistake in others:
                error.add_note(printable(mistake))
            raise
        if problem is not None:
            raise problem
        if server is not None and (others or server.errors) and item.stash.get(_PASSED, False):
            from pytest_mcn_mock.testing.session import raise_mistakes

            raise_mistakes(server, others=others)
    finally:
        if server is not None:
            server.clear()
        if server is not None and is_stopped and not server.is_running():
            from pytest_mcn_mock.testing.session import start_again

            start_again(server, item, is_wanted=nextitem is not None)
    return result


def _other_mistakes(server: MCNServer, item: pytest.Item) -> list[str]:
    """Return the mistakes on accounts other than ``mcn``, while the fixtures are alive; none if the test has failed."""
    from pytest_mcn_mock.testing.session import take_other_mistakes

    has_passed = item.stash.get(_PASSED, False) and not item.stash.get(_FAILED, False)
    return take_other_mistakes(server, item, has_passed=has_passed)


def _uses_us(item: pytest.Item) -> bool:
    return not _FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


def _check_marker(item: pytest.Item) -> None:
    """Fail the test if its marker is for the plugin's ``mcn``, and a fixture of the user's own overrides that."""
    __tracebackhide__ = True
    if _ACCOUNT in item.stash or "mcn" not in getattr(item, "fixturenames", ()):
        return
    given = {name for marker in item.iter_markers("mcn") for name in marker.kwargs} - _OF_ANY_ACCOUNT
    if given:
        names = ", ".join(sorted(given))
        pytest.fail(
            f"the marker mcn has no effect: this test's mcn is not the plugin's; use its methods, such as "
            f"mcn.set_balance, in place of {names}",
            pytrace=False,
        )


def _without_proxy() -> AbstractContextManager[None]:
    from pytest_mcn_mock.testing.proxies import OWN_HOSTS, bypassed

    return bypassed(OWN_HOSTS)


def _without_proxy_again() -> AbstractContextManager[None]:
    from pytest_mcn_mock.testing.proxies import bypassed_again

    return bypassed_again()


def _settings(request: pytest.FixtureRequest) -> Settings | None:
    """Return the settings that apply at the test's place, or None if a fixture of that scope cannot have them.

    Other errors in them are reported when the test itself gets them.
    """
    try:
        settings: Settings = request.getfixturevalue("mcn_settings")
    except (Exception, pytest.fail.Exception, pytest.skip.Exception):
        return None
    return settings


def _use_settings(config: pytest.Config, settings: Settings | None) -> None:
    if settings is not None and config.stash.get(_IS_OURS, False):
        config.stash[_SERVER].use_settings(settings)


def _fake_files() -> Any:
    """Return the file system of pyfakefs, or None if no test has replaced the real one."""
    pyfakefs = sys.modules.get("pyfakefs.fake_filesystem_unittest")
    patcher = None if pyfakefs is None else pyfakefs.Patcher.PATCHER
    return patcher.fs if patcher is not None and getattr(patcher, "is_patching", True) else None


@contextmanager
def _real_files() -> Iterator[None]:
    """Pause pyfakefs during the block."""
    fake = _fake_files()
    if fake is not None:
        fake.pause()
    try:
        yield
    finally:
        if fake is not None:
            fake.resume()


def _lend_certificates(item: pytest.Item) -> None:
    """Let pyfakefs show the files of trusted authorities, because requests checks that its file exists."""
    if "mcn_intercept" in getattr(item, "fixturenames", ()) and (fake := _fake_files()) is not None:
        from pytest_mcn_mock.testing.intercept import certificate_files

        for path in certificate_files():
            if not fake.exists(path):
                with suppress(OSError):  # it is not in the real file system either
                    fake.add_real_file(path)


@pytest.fixture(scope="session")
def mcn_settings() -> Settings:
    """The settings of ``mcn_server``. Override it to change the tariff or assumed behaviour.

    An override in a folder, a module or a class applies to the tests there.
    """
    from pytest_mcn_mock.settings import Settings

    return Settings()


@pytest.fixture(scope="session")
def mcn_server(request: pytest.FixtureRequest) -> Iterator[MCNServer]:
    """A fake api.mcn.ru in this process, on a free port of the loopback interface, for the whole session.

    Registered handlers are removed when the test ends. An exception of a handler fails the test.
    """
    config = request.config
    with _real_files():
        from pytest_mcn_mock.testing import session

        server = session.make_server(_settings(request))
        server.start()
    config.stash[_SERVER], config.stash[_IS_OURS], config.stash[_HAS_RUN] = server, True, True
    server.opened.begin(config.stash.get(_TEST, ""))
    try:
        yield server
    finally:
        config.stash[_IS_OURS] = config.stash[_HAS_RUN] = False
        if server.is_running():
            server.stop()


@pytest.fixture
def mcn(request: pytest.FixtureRequest, mcn_server: MCNServer) -> Iterator[Account]:
    """The test's own account on ``mcn_server``: 100 roubles, no numbers, no subscriptions.

    Its seed comes from the test's name, so that a test gets the same numbers and uuids in every run. Unexpected
    mistakes on the account or on the server fail the test when it ends; see the marker ``mcn``.
    """
    from pytest_mcn_mock.testing.session import open_for_test, raise_mistakes

    __tracebackhide__ = True
    stash = request.node.stash
    if request.config.stash.get(_SERVER, None) is not mcn_server:  # the user's own
        request.config.stash[_SERVER] = mcn_server
        request.config.stash[_IS_OURS] = False
        request.config.stash[_HAS_RUN] = mcn_server.is_running()
    # Some plugins repeat a test: forget the results of the earlier run.
    stash[_FAILED] = stash[_PASSED] = False
    stash[_REPORT] = ""
    strict, fidelity = request.config.getini("mcn_strict"), request.config.getini("mcn_fidelity")
    account, strict = open_for_test(mcn_server, request.node, strict=strict, fidelity=fidelity)
    stash[_ACCOUNT] = account
    try:
        with _without_proxy():
            yield account
        # If the test has failed, its report shows the reason and the account's story. If it was skipped, interrupted or
        # is expected to fail, mistakes are not reported.
        if stash[_PASSED] and not stash[_FAILED]:
            raise_mistakes(mcn_server, account, strict=strict)
    finally:
        # A later failure, such as that of another fixture's teardown, is reported when the account no longer exists.
        stash[_REPORT] = _report_of(account)
        account.close()


@pytest.fixture
def mcn_intercept(mcn_server: MCNServer) -> Iterator[str]:
    """Let the vendor's own URLs, such as ``https://api.mcn.ru``, reach ``mcn_server`` from this process.

    Its value is the base URL. It needs the extra ``intercept``. It restores name resolution and trust when the test
    ends.
    """
    with ExitStack() as stack:
        with _real_files():
            try:
                from pytest_mcn_mock.testing.intercept import intercepted
            except ModuleNotFoundError as error:
                if error.name != "trustme":
                    raise
                pytest.fail("mcn_intercept needs trustme: pip install 'pytest-mcn-mock[intercept]'", pytrace=False)
            base_url = stack.enter_context(intercepted(mcn_server))
        yield base_url
