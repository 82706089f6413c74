"""What a store tells of each change, for a copy of it that outlives the process."""

from __future__ import annotations

from typing import Protocol

from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import Delivery
from pytest_mcn_mock.model.money import Entry


class Recorder(Protocol):
    """Hears of every change in order, under the store's lock, after the step was decided. It must not fail, but for
    ``admit``. ``is_new`` says that there was none before.
    """

    def admit(self) -> None:
        """A step is about to change something; StorageFailed, so that it does not happen, if it could not be kept."""

    def account(self, account: Account, *, is_new: bool = False) -> None:
        """The account is this now."""

    def accepted(self, account_id: str, calls: int) -> None:
        """The account has had so many calls accepted."""

    def account_removed(self, account_id: str) -> None:
        """The account is gone with its ledger; its id is taken still. Its calls are told of one by one."""

    def posted(self, account_id: str, entry: Entry) -> None:
        """The account's ledger has one entry more."""

    def folded(self, account_id: str, entry: Entry) -> None:
        """The entry stands for itself and the one before it, which is gone."""

    def call(self, call: Call, *, is_listed: bool, is_new: bool = False) -> None:
        """The call is this now; ``is_listed`` says whether the journal shows it."""

    def call_dropped(self, seq: int) -> None:
        """The call with that ``seq`` is gone. Its deliveries are told of one by one."""

    def delivery(self, delivery: Delivery, *, is_new: bool = False) -> None:
        """The delivery is this now."""

    def delivery_dropped(self, delivery_id: int) -> None:
        """The delivery is gone."""

    def cleared(self) -> None:
        """All is gone, the ids taken included; what is new is numbered on."""


class NullRecorder:
    """Keeps nothing: for a state that goes with its process."""

    def admit(self) -> None:
        """Everything is admitted."""

    def account(self, account: Account, *, is_new: bool = False) -> None:
        """Nothing to do, as in every method below."""

    def accepted(self, account_id: str, calls: int) -> None:
        """See above."""

    def account_removed(self, account_id: str) -> None:
        """See above."""

    def posted(self, account_id: str, entry: Entry) -> None:
        """See above."""

    def folded(self, account_id: str, entry: Entry) -> None:
        """See above."""

    def call(self, call: Call, *, is_listed: bool, is_new: bool = False) -> None:
        """See above."""

    def call_dropped(self, seq: int) -> None:
        """See above."""

    def delivery(self, delivery: Delivery, *, is_new: bool = False) -> None:
        """See above."""

    def delivery_dropped(self, delivery_id: int) -> None:
        """See above."""

    def cleared(self) -> None:
        """See above."""
