"""The command ``mcn-mock``."""

from __future__ import annotations

import sys
from contextlib import suppress


def main() -> None:
    """Run the command line. End with status 2 and a hint if the sandbox's extra is not installed."""
    try:
        status = _run()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("click", "filelock", "jsonschema", "rich", "sqlalchemy"):
            raise
        _say(f"mcn-mock: {missing} is not installed; pip install 'pytest-mcn-mock[sandbox]'")
        status = 2
    except KeyboardInterrupt:
        status = 130  # as a shell has it
    raise SystemExit(status)


def _run() -> int | str | None:
    from pytest_mcn_mock.cli.commands import mcn_mock
    from pytest_mcn_mock.cli.output import OutputLost, give_up_output, guard_streams
    from pytest_mcn_mock.text import is_encodable

    guard_streams()
    for place, argument in enumerate(sys.argv[1:], 1):
        if not is_encodable(argument):
            _say(f"mcn-mock: argument {place} is not UTF-8; write it in UTF-8")  # it may be a secret
            return 2
    status: int | str | None = 0
    try:
        try:
            mcn_mock(prog_name="mcn-mock")
        except SystemExit as end:
            status = end.code
        sys.stdout.flush()
    except OutputLost as lost:
        give_up_output()
        if not lost.is_failure:
            return status
        _say(f"mcn-mock: {lost}")
        return 1
    return status


def _say(text: str) -> None:
    with suppress(AttributeError, OSError):  # there need not be a reader
        sys.stderr.write(f"{text}\n")
