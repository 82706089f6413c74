"""What a call costs, by a count that is the same on every machine: of the functions that Python calls for it.

A count that has to grow is raised here, on purpose.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from in_process import make_exchange, open_account, place

def count(do):
    calls = 0
    def note(frame, event, argument):
        nonlocal calls
        calls += event == "call"
    sys.setprofile(note)
    try:
        do()
    finally:
        sys.setprofile(None)
    return calls

async def main():
    exchange = make_exchange(journal_size=10, post=lambda job: job())
    open_account(exchange, subscriptions=int(sys.argv[2]))
    for _ in range(20):  # until the journal is full, and what is kept for the next time is there
        place(exchange)
        await exchange.dispatcher.advance_account("1", 0)
    calls = count(lambda: place(exchange))
    print(calls)
    await exchange.dispatcher.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("subscriptions,most", [(0, 132), (1, 157)], ids=["a call", "a call that owes a CDR"])
def test_a_call_costs_no_more_than_it_did(subscriptions: int, most: int) -> None:
    """In a process of its own: the tests' own checks of every answer are not counted."""
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", COUNT, tests, str(subscriptions)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) <= most
