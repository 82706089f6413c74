"""``mcn-mock verify`` and ``mcn-mock record``: send the same requests to a real server and to the fake, and compare."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from pytest_mcn_mock.cli.client import CommandResult, answered
from pytest_mcn_mock.cli.commands import INTERRUPTED as INTERRUPTED_STATUS
from pytest_mcn_mock.cli.output import count
from pytest_mcn_mock.cli.tables import Column, print_table
from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.text import printable

if TYPE_CHECKING:  # they bring msgspec and phonenumbers, which the other commands need not wait for
    from pytest_mcn_mock.conformance.comparison import Difference
    from pytest_mcn_mock.conformance.questions import Plan
    from pytest_mcn_mock.conformance.recording import Participants, Recording
    from pytest_mcn_mock.model.assumptions import Assumptions

DIFFERENT: Final = 1
"""The exit status if there are differences."""
MOST_KOPECKS: Final = 100_000
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
_LISTED: Final = (Column("QUESTION", "name"), Column("CAN COST", "calls"), Column("ASKS", "asks", fold=True))
_DIFFERENCES: Final = tuple(Column(name, fold=True) for name in ("QUESTIONS", "THE SERVER", "THE FAKE", "SETTING"))
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def _asking(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that asks a server."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option("--base-url", metavar="URL", help="The server's base URL; --dialect says which of its methods."),
    click.option(
        "--dialect", type=click.Choice([str(d) for d in Dialect]), default="api_mcn", show_default=True,
        help="The methods to ask: the article's, or those that followed.",
    ),
    click.option(
        "--token", envvar="MCN_MOCK_TOKEN", show_envvar=True, help="The account's token; it is in no output."
    ),
    click.option("--account", type=click.IntRange(1, 10**15 - 1), metavar="ID", help="The account of the token."),
    click.option(
        "--spend", type=click.IntRange(1, MOST_KOPECKS), metavar="KOPECKS",
        help="Also ask questions that place calls, as long as they cost no more than this by the vendor's prices.",
    ),
    click.option("--ring", metavar="NUMBER", help="The number to ring then: your own."),
    click.option("--caller-did", metavar="NUMBER", help="A number connected to the account, for call_for_2fa."),
    click.option("--yes", is_flag=True, help="Do not ask before money is spent."),
    click.option(
        "--pace", type=click.FloatRange(0, 60), default=0.5, show_default=True,
        help="The seconds between two questions.",
    ),
    click.option(
        "--timeout", type=click.FloatRange(0.1, 600), default=10.0, show_default=True,
        help="The maximum time for an answer, in seconds.",
    ),
    click.option(
        "--cacert", type=click.Path(path_type=Path),
        help="A file with the authority of the server's certificate, if that is not a public one.",
    ),
)  # fmt: skip


@click.command()
@_asking
@click.option("--replay", type=click.Path(path_type=Path), metavar="FILE", help="Compare a recording; ask nothing.")
@click.option("--config", type=click.Path(path_type=Path), help="Compare with a fake that has this file's [assumed].")
@click.option("--list", "is_list", is_flag=True, help="List the questions and ask none.")
@answered
def verify(replay: Path | None, config: Path | None, is_list: bool, **asked: Any) -> CommandResult:
    """Ask a real server the questions that the fake answers, and report the differences.

    The harmless questions, which a correct server refuses, come first; the questions that can cost money are asked only
    with --spend and --ring. The status is 0 if there is no difference, 1 if there is one, 2 for a wrong argument and 3
    if no server answers.
    """
    from pytest_mcn_mock.conformance import comparison, recording
    from pytest_mcn_mock.conformance.interview import INTERRUPTED
    from pytest_mcn_mock.conformance.questions import SETS

    if is_list:
        harmless, paid = SETS[Dialect(asked["dialect"])]
        listed = [{"name": q.name, "calls": q.calls, "asks": q.asks} for q in (*harmless, *paid)]
        return CommandResult(listed, lambda: print_table(_LISTED, listed))
    assumptions = _assumptions(config)
    if replay is not None and any(asked[name] is not None for name in ("base_url", "account", "spend", "ring")):
        raise UsageError("--replay asks nothing; leave out --base-url, --account, --spend and --ring")
    seen = recording.load(replay) if replay is not None else _interview(**asked)
    differences = comparison.compare(seen, assumptions)
    is_interrupted = replay is None and seen.stopped == INTERRUPTED
    status = INTERRUPTED_STATUS if is_interrupted else DIFFERENT if differences else 0
    return CommandResult(comparison.as_json(seen, differences), lambda: _report(seen, differences), status)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@_asking
@click.option("--pseudonym", is_flag=True, help="Put 12345678 in place of the account.")
def record(file: Path, *, pseudonym: bool, **asked: Any) -> None:
    """Ask a real server the questions of `verify`, and keep the questions and answers in FILE.

    The token is not in it, and of telephone numbers only the first four digits.
    """
    from pytest_mcn_mock.conformance.interview import INTERRUPTED
    from pytest_mcn_mock.conformance.recording import dump

    try:
        # Before anything is asked, because the answers may cost money.
        with file.open("x", encoding="utf-8") as target:
            try:
                seen = _interview(pseudonym=pseudonym, **asked)
                target.write(dump(seen))
            except BaseException:
                file.unlink()
                raise
    except FileExistsError:
        raise UsageError(f"{file} exists already; name a new one") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror or error}") from error
    click.echo(f"{count(len(seen.exchanges), 'exchange')} in {file}; compare: mcn-mock verify --replay {file}")
    _report_limits(seen)
    if seen.stopped == INTERRUPTED:
        raise KeyboardInterrupt


def _assumptions(config: Path | None) -> Assumptions:
    from pytest_mcn_mock.cli import config as configuration
    from pytest_mcn_mock.model.assumptions import Assumptions

    return Assumptions() if config is None else configuration.load(config).settings.assumptions


def _interview(
    *,
    base_url: str | None,
    token: str | None,
    account: int | None,
    spend: int | None,
    ring: str | None,
    caller_did: str | None,
    dialect: str,
    yes: bool,
    pace: float,
    timeout: float,
    cacert: Path | None,
    pseudonym: bool = False,
) -> Recording:
    from pytest_mcn_mock.conformance.interview import RealServer, check_base_url, interview
    from pytest_mcn_mock.conformance.questions import QUESTIONS, make_plan
    from pytest_mcn_mock.conformance.recording import Mask

    if base_url is None or token is None or account is None:
        raise UsageError("give the server as --base-url, and its --token and --account")
    url = check_base_url(base_url)
    if not _TOKEN.fullmatch(token):
        raise UsageError("--token must be visible ASCII characters without spaces")
    participants = _participants(account, spend, ring, caller_did)
    plan = make_plan(participants, spend, Dialect(dialect))
    if urlsplit(url).scheme == "http" and urlsplit(url).hostname not in _LOOPBACK:
        click.echo("mcn-mock: the token travels unencrypted; use https if the server has it", err=True)
    if plan.calls and not yes:
        _confirm(plan, participants, url)

    def announce(name: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"{name}: {QUESTIONS[name].asks}", err=True)

    return asyncio.run(
        interview(
            RealServer(url, token, timeout_s=timeout, cafile=cacert).ask,
            participants,
            plan,
            Mask(token, participants, with_pseudonym=pseudonym),
            base_url=url,
            recorded_at=datetime.now(UTC).isoformat(timespec="seconds"),
            pause=lambda: asyncio.sleep(pace),
            announce=announce,
        )
    )


def _participants(account: int, spend: int | None, ring: str | None, caller_did: str | None) -> Participants:
    from pytest_mcn_mock.conformance.recording import Participants
    from pytest_mcn_mock.model.numbering import NUMBER_FORM, is_number

    if (spend is None) != (ring is None):
        raise UsageError("to place calls give both --spend and --ring; without them nothing that can cost is asked")
    if caller_did is not None and ring is None:
        raise UsageError("--caller-did is for calls; give --spend and --ring too")
    for name, number in (("--ring", ring), ("--caller-did", caller_did)):
        if number is not None and not is_number(number):
            raise UsageError(f"{name} must be {NUMBER_FORM}")
    return Participants(str(account), ring, caller_did)


def _confirm(plan: Plan, participants: Participants, url: str) -> None:
    """Raise UsageError, so that nothing is asked, if the answer is not yes."""
    text = (
        f"Up to {count(plan.calls, 'call')} to {participants.ring}, for {plan.cost} kopecks at most by the vendor's "
        f"prices (yours can be higher), paid by account {participants.account_id} of {url}. Go on?"
    )
    try:
        is_agreed = click.confirm(text, err=True)
    except click.Abort:
        is_agreed = False
    if not is_agreed:
        raise UsageError("nothing was asked; --yes is the answer of a script")


def _report(seen: Recording, differences: Sequence[Difference]) -> None:
    """Print the table, and a line that sums up."""
    from pytest_mcn_mock.conformance.comparison import table

    rows = table(differences)
    if rows:
        print_table(_DIFFERENCES, rows)
        click.echo()
    result = count(len(rows), "difference") if rows else "no difference"
    click.echo(f"{printable(seen.base_url)}: {count(len(seen.exchanges), 'question')} asked, {result}")
    _report_limits(seen)


def _report_limits(seen: Recording) -> None:
    """Print which questions were not asked, or are not known to this version, and the money that was spent."""
    from pytest_mcn_mock.conformance.questions import QUESTIONS

    if seen.spent_kopecks:
        click.echo(f"spent: {seen.spent_kopecks} kopecks by the vendor's prices")
    if seen.stopped is not None:
        click.echo(f"stopped early: {printable(seen.stopped)}")
    reasons: dict[str, list[str]] = {}
    for item in seen.not_asked:
        reasons.setdefault(item.why, []).append(item.question)
    for why, names in reasons.items():
        click.echo(f"not asked: {printable(', '.join(names))} ({printable(why)})")
    unknown = [exchange.question for exchange in seen.exchanges if exchange.question not in QUESTIONS]
    if unknown:
        click.echo(f"not compared: {printable(', '.join(unknown))} (questions of another version)")
