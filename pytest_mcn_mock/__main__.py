"""``python -m pytest_mcn_mock``: the command ``mcn-mock``, if its script is not on the path."""

from __future__ import annotations

from pytest_mcn_mock.cli import main

if __name__ == "__main__":
    main()
