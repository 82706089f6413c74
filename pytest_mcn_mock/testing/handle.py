"""What the parts of a test's account have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_mcn_mock.model import accounts
from pytest_mcn_mock.model.requests import ApiRequest
from pytest_mcn_mock.testing.access import Access
from pytest_mcn_mock.testing.views import Call, Delivery

_ALL = 10**9


class Handle:
    """An account's identity, and its journal."""

    def __init__(self, opened: accounts.Account, access: Access) -> None:
        self._opened = opened
        self._access = access
        self._first_request = access.service.journal.last_seq()

    def __repr__(self) -> str:
        return f"<Account {self.account_id} at {self.base_url}, seed {self.seed}>"

    @property
    def base_url(self) -> str:
        """What stands for https://api.mcn.ru/v2/rest."""
        return self._access.base_url

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
        return self._access.service.assumptions.ack_timeout_s

    @property
    def requests(self) -> list[ApiRequest]:
        """Every request to a path of the account, the refused ones and those in flight included, as they arrived."""
        return [request for request in self._requests_since_opening() if request.account_id == self.account_id]

    @property
    def calls(self) -> list[Call]:
        """The accepted calls, in order of arrival."""
        calls = self._access.run(self._access.storage.calls(self.account_id, 0, _ALL))
        return [Call(call, self._access, self._after_completion) for call in calls]

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
        return request.account_id is None or not self._access.run(self._access.storage.is_taken(request.account_id))

    def _requests_since_opening(self) -> Sequence[ApiRequest]:
        return self._access.service.journal.since(self._first_request)

    def _now(self) -> float:
        return self._access.service.clock.now(self.account_id)

    def _after_completion(self, delivery: Delivery) -> None:
        """Wait for the first attempt at a delivery, unless that would keep the running event loop from making it."""
        raise NotImplementedError
