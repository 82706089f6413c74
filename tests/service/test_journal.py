"""The journal of requests, where other processes enter theirs too."""

from __future__ import annotations

import pytest

from pytest_mcn_mock.clocks import VirtualClock
from pytest_mcn_mock.model.requests import ApiRequest
from pytest_mcn_mock.service.events import Events
from pytest_mcn_mock.service.journal import Journal, OwnNumbers


def entries(*seqs: int) -> list[ApiRequest]:
    return [ApiRequest(seq, "POST", "/", None, 0.0) for seq in seqs]


@pytest.mark.parametrize(
    "added, listed, dropped",
    [
        pytest.param([], [2, 4, 6], 0, id="none"),
        pytest.param([7, 8], [2, 4, 6, 7, 8], 0, id="later"),
        pytest.param([8, 3, 5], [3, 4, 5, 6, 8], 1, id="between, and the oldest leaves"),
        pytest.param([1], [1, 2, 4, 6], 0, id="earlier"),
        pytest.param([4, 2, 6, 5], [2, 4, 5, 6], 0, id="known"),
        pytest.param([7, 8, 9, 10, 11, 12], [8, 9, 10, 11, 12], 4, id="more than there is room for"),
    ],
)
def test_requests_of_others(added: list[int], listed: list[int], dropped: int) -> None:
    journal = Journal(VirtualClock(), Events(), 5, OwnNumbers())
    known = {request.seq: request for request in entries(2, 4, 6)}
    journal.add(list(known.values()))
    journal.add(entries(*added))
    assert [request.seq for request in journal.page()] == listed
    assert all(known.get(request.seq, request) is request for request in journal.page())
    assert journal.dropped == dropped


def test_of_a_long_account_id_in_a_short_path_the_beginning_is_kept() -> None:
    journal = Journal(VirtualClock(), Events(), 5, OwnNumbers())
    journal.receive("POST", "/v2/rest/account/1/flash_call", "9" * 400)
    assert [request.account_id for request in journal.page()] == ["9" * 32]
