"""What the parts of a test's account have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_mcn_mock.compose import Exchange
from pytest_mcn_mock.model import accounts
from pytest_mcn_mock.model.requests import ApiRequest
from pytest_mcn_mock.service import Operator
from pytest_mcn_mock.testing.applications import Applications
from pytest_mcn_mock.testing.background import BackgroundLoop
from pytest_mcn_mock.testing.changes import Changes
from pytest_mcn_mock.testing.views import Call, Delivery

_ALL = 10**9


@dataclass(frozen=True, slots=True)
class Backing:
    """What a server gives each of its accounts to work with."""

    exchange: Exchange
    changes: Changes
    background: BackgroundLoop
    applications: Applications
    base_url: str


class Handle:
    """An account's identity, and its journal."""

    def __init__(self, opened: accounts.Account, backing: Backing) -> None:
        self._opened = opened
        self._backing = backing
        self._first_request = backing.exchange.operator.journal.last_seq()

    def __repr__(self) -> str:
        return f"<Account {self.account_id} at {self.base_url}, seed {self.seed}>"

    @property
    def _operator(self) -> Operator:
        return self._backing.exchange.operator

    @property
    def base_url(self) -> str:
        """What stands for https://api.mcn.ru/v2/rest."""
        return self._backing.base_url

    @property
    def account_id(self) -> str:
        """The id, as in the path."""
        return self._opened.id

    @property
    def token(self) -> str:
        """The token that the API asks for."""
        return self._opened.token

    @property
    def seed(self) -> int:
        """What the account's numbers, uuids and faults are drawn from."""
        return self._opened.seed

    @property
    def headers(self) -> Mapping[str, str]:
        """The Authorization header to send."""
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def ack_timeout_s(self) -> float:
        """How long a webhook may take to acknowledge a CDR, in seconds."""
        return self._operator.deliveries.ack_timeout_s

    @property
    def requests(self) -> list[ApiRequest]:
        """Every request to a path of the account, the refused ones and those in flight included, as they arrived."""
        return [request for request in self._requests_since_opening() if request.account_id == self.account_id]

    @property
    def calls(self) -> list[Call]:
        """The accepted calls, in order of arrival."""
        return [
            Call(call, self._operator, self._after_completion)
            for call in self._operator.calls.page(self.account_id, limit=_ALL)
        ]

    @property
    def deliveries(self) -> list[Delivery]:
        """The deliveries of CDRs, pending ones included, in order of their calls."""
        return [delivery for call in self.calls for delivery in call.deliveries]

    def _heard(self) -> list[ApiRequest]:
        """Every request that may be this test's: to a path of the account, and the refused ones that went elsewhere."""
        return [r for r in self._requests_since_opening() if r.account_id == self.account_id or self._is_stray(r)]

    def _is_stray(self, request: ApiRequest) -> bool:
        """Whether a refused request that names another account, or none, is this test's.

        It is if it carries the account's token, or if its path names no account that is or was open: a straggler of an
        earlier test names that test's account.
        """
        if request.refusal is None or request.account_id == self.account_id:
            return False
        if request.token_account_id is not None:
            return request.token_account_id == self.account_id
        return request.account_id is None or not self._operator.accounts.is_taken(request.account_id)

    def _requests_since_opening(self) -> Sequence[ApiRequest]:
        return self._operator.journal.since(self._first_request)

    def _now(self) -> float:
        return self._backing.exchange.clock.now(self.account_id)

    def _after_completion(self, delivery: Delivery) -> None:
        """Wait for the first attempt at a delivery, unless that would keep the running event loop from making it."""
        raise NotImplementedError
