"""``mcn-mock verify`` and ``mcn-mock record``: ask a real server what the fake is asked, and compare."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from pytest_mcn_mock.cli.options import json_option
from pytest_mcn_mock.cli.output import count, print_json
from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.text import printable

if TYPE_CHECKING:  # they bring jsonschema and phonenumbers
    from pytest_mcn_mock.drift.findings import Findings
    from pytest_mcn_mock.drift.planning import Plan
    from pytest_mcn_mock.drift.questions import Party
    from pytest_mcn_mock.drift.recording import Recording
    from pytest_mcn_mock.model.assumptions import Assumptions

DIFFERENT: Final = 1
"""The exit status where there are differences."""
MOST_KOPECKS: Final = 100_000
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def _asking(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that asks a server."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option("--base-url", metavar="URL", help="The server's base URL, such as https://api.mcn.ru/v2/rest."),
    click.option(
        "--token", envvar="MCN_MOCK_TOKEN", show_envvar=True, help="The account's token; it is in no output."
    ),
    click.option("--account", type=click.IntRange(1, 10**15 - 1), metavar="ID", help="The account of the token."),
    click.option(
        "--spend", type=click.IntRange(1, MOST_KOPECKS), metavar="KOPECKS",
        help="Also ask what places calls, as long as it costs no more than this by the article's prices.",
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
        help="The seconds that an answer may take.",
    ),
    click.option(
        "--cacert", type=click.Path(path_type=Path),
        help="A file with the authority of the server's certificate, where that is not a public one.",
    ),
)  # fmt: skip


@click.command()
@_asking
@click.option("--replay", type=click.Path(path_type=Path), metavar="FILE", help="Compare a recording; ask nothing.")
@click.option("--config", type=click.Path(path_type=Path), help="Compare with a fake that has this file's [assumed].")
@click.option("--list", "is_list", is_flag=True, help="List the questions and ask none.")
@json_option
def verify(*, replay: Path | None, config: Path | None, is_list: bool, as_json: bool, **asked: Any) -> None:
    """Ask a real server what the fake is asked, and tell where they differ.

    The harmless questions, which a sound server refuses, come first; what can cost money is asked only with --spend and
    --ring. The status is 0 if there is no difference, 1 if there is one, 2 for a wrong argument and 3 if no server
    answers.
    """
    if is_list:
        _list()
        return
    from pytest_mcn_mock.drift import recording
    from pytest_mcn_mock.drift.findings import find
    from pytest_mcn_mock.drift.reports import as_json as findings_as_json

    assumptions = _assumptions(config)
    if replay is not None and any(asked[name] is not None for name in ("base_url", "account", "spend", "ring")):
        raise UsageError("--replay asks nothing; leave out --base-url, --account, --spend and --ring")
    seen = recording.load(replay) if replay is not None else _interview(**asked)
    findings = find(seen, assumptions)
    if as_json:
        print_json(findings_as_json(findings))
    else:
        _tell(findings)
    if replay is None:
        _end_if_interrupted(seen)
    if findings.differences:
        raise SystemExit(DIFFERENT)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@_asking
@click.option("--pseudonym", is_flag=True, help="Put 12345678 in place of the account.")
def record(file: Path, *, pseudonym: bool, **asked: Any) -> None:
    """Ask a real server the questions of `verify`, and keep what was asked and answered in FILE.

    The token is not in it, and of telephone numbers the first four digits alone.
    """
    from pytest_mcn_mock.drift import recording

    try:
        # Before anything is asked, for what was answered may have cost money.
        with file.open("x", encoding="utf-8") as target:
            try:
                seen = _interview(pseudonym=pseudonym, **asked)
                target.write(recording.dump(seen))
            except BaseException:
                file.unlink()
                raise
    except FileExistsError:
        raise UsageError(f"{file} exists already; name a new one") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror or error}") from error
    click.echo(f"{count(len(seen.exchanges), 'exchange')} in {file}; compare: mcn-mock verify --replay {file}")
    _tell_limits(seen)
    _end_if_interrupted(seen)


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
    yes: bool,
    pace: float,
    timeout: float,
    cacert: Path | None,
    pseudonym: bool = False,
) -> Recording:
    from pytest_mcn_mock.drift.asking import HttpAsker, check_base_url
    from pytest_mcn_mock.drift.interview import interview
    from pytest_mcn_mock.drift.masking import Mask
    from pytest_mcn_mock.drift.planning import make_plan

    if base_url is None or token is None or account is None:
        raise UsageError("give the server as --base-url, and its --token and --account")
    url = check_base_url(base_url)
    if not _TOKEN.fullmatch(token):
        raise UsageError("--token must be visible ASCII characters without spaces")
    party = _party(account, spend, ring, caller_did)
    plan = make_plan(party, spend)
    if urlsplit(url).scheme == "http" and urlsplit(url).hostname not in _LOOPBACK:
        click.echo("mcn-mock: the token travels unencrypted; use https where the server has it", err=True)
    if plan.calls and not yes:
        _confirm(plan, party, url)

    return asyncio.run(
        interview(
            HttpAsker(url, token, timeout_s=timeout, cafile=cacert),
            party,
            plan,
            Mask(token, party, with_pseudonym=pseudonym),
            base_url=url,
            recorded_at=datetime.now(UTC).isoformat(timespec="seconds"),
            pause=lambda: asyncio.sleep(pace),
            tell=_say_question,
        )
    )


def _party(account: int, spend: int | None, ring: str | None, caller_did: str | None) -> Party:
    from pytest_mcn_mock.drift.questions import Party
    from pytest_mcn_mock.model.numbering import NUMBER_FORM, is_number

    if (spend is None) != (ring is None):
        raise UsageError("to place calls give both --spend and --ring; without them nothing that can cost is asked")
    if caller_did is not None and ring is None:
        raise UsageError("--caller-did is for calls; give --spend and --ring too")
    for name, number in (("--ring", ring), ("--caller-did", caller_did)):
        if number is not None and not is_number(number):
            raise UsageError(f"{name} must be {NUMBER_FORM}")
    return Party(str(account), ring, caller_did)


def _confirm(plan: Plan, party: Party, url: str) -> None:
    """UsageError, so that nothing is asked, where the answer is not yes."""
    text = (
        f"Up to {count(plan.calls, 'call')} to {party.ring}, for {plan.cost} kopecks at most by the article's prices"
        f" (yours can be higher), paid by account {party.account_id} of {url}. Go on?"
    )
    try:
        is_agreed = click.confirm(text, err=True)
    except click.Abort:
        is_agreed = False
    if not is_agreed:
        raise UsageError("nothing was asked; --yes is the answer of a script")


def _say_question(name: str) -> None:
    from pytest_mcn_mock.drift.questions import QUESTIONS

    if sys.stderr.isatty():
        click.echo(f"{name}: {QUESTIONS[name].asks}", err=True)


def _list() -> None:
    from pytest_mcn_mock.cli.tables import Column, print_table
    from pytest_mcn_mock.drift.questions import QUESTIONS

    print_table(
        [Column("QUESTION"), Column("CAN COST"), Column("ASKS", fold=True)],
        [(q.name, "" if q.calls is None else q.calls, q.asks) for q in QUESTIONS.values()],
    )


def _tell(findings: Findings) -> None:
    """The table, what to put into the configuration, and a line that sums up."""
    from pytest_mcn_mock.cli.tables import Column, print_table
    from pytest_mcn_mock.drift.reports import HEADINGS, as_markdown, table

    lines = table(findings)
    if lines and sys.stdout.isatty():
        print_table([Column(heading, fold=True) for heading in HEADINGS], [line.cells() for line in lines])
    elif lines:
        click.echo(as_markdown(lines), nl=False)
    if findings.assumed is not None:
        click.echo("\nThese settings make the fake do so, in mcn-mock.toml:\n")
        click.echo("\n".join(map(printable, findings.assumed.splitlines())))
    if lines:
        click.echo()
    seen = findings.recording
    settled = sum(line.setting is not None for line in lines)
    result = f"{count(len(lines), 'difference')}, {settled} settled by settings" if lines else "no difference"
    click.echo(f"{printable(seen.base_url)}: {count(len(seen.exchanges), 'question')} asked, {result}")
    _tell_limits(seen)


def _end_if_interrupted(seen: Recording) -> None:
    from pytest_mcn_mock.drift.interview import INTERRUPTED

    if seen.stopped == INTERRUPTED:
        raise KeyboardInterrupt


def _tell_limits(seen: Recording) -> None:
    """What was not asked, and what was spent."""
    if seen.spent:
        click.echo(f"spent: {seen.spent} kopecks by the article's prices")
    if seen.stopped is not None:
        click.echo(f"stopped early: {printable(seen.stopped)}")
    reasons: dict[str, list[str]] = {}
    for left in seen.left_out:
        reasons.setdefault(left.why, []).append(left.question)
    for why, names in reasons.items():
        click.echo(f"not asked: {printable(', '.join(names))} ({printable(why)})")
