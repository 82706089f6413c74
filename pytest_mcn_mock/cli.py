"""The command ``mcn-mock``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; status 2 and a hint where the sandbox's extra is not installed."""
    try:
        from pytest_mcn_mock.sandbox.commands import mcn_mock

        mcn_mock(prog_name="mcn-mock")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("click", "jsonschema", "msgspec", "rich", "sqlalchemy"):
            raise
        sys.stderr.write(f"mcn-mock: {missing} is not installed; pip install 'pytest-mcn-mock[sandbox]'\n")
        raise SystemExit(2) from None
