from __future__ import annotations

from pytest_mcn_mock import Settings
from pytest_mcn_mock.compose import compose
from pytest_mcn_mock.model.calls import CallOrder
from pytest_mcn_mock.model.deliveries import CdrResponse, Delivery, DeliveryState
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.service.ports import Item


class Notes:
    """Keeps every delivery that is told of, with its account."""

    def __init__(self) -> None:
        self.deliveries: list[tuple[str, Delivery]] = []

    def changed(self, account_id: str, item: Item | None = None, before: Item | None = None) -> None:
        if isinstance(item, Delivery):
            self.deliveries.append((account_id, item))

    def closed(self, account_id: str) -> None:
        pass

    def reset(self) -> None:
        pass


def test_a_delivery_is_told_of_when_its_call_has_left_the_journal() -> None:
    notes = Notes()
    operator = compose(Settings(journal_size=2), lambda _: None, observers=[notes]).operator
    operator.accounts.open(
        seed=1, balance="9.00", account_id="1", subscriptions=[make_subscription("http://localhost:1/")]
    )
    for _ in range(3):
        operator.calls.place("1", CallOrder(Method.FLASH_CALL, "79157777777"))
    for delivery in operator.deliveries.pending():
        assert operator.deliveries.prepare(delivery) is not None
        operator.deliveries.record(delivery, 0.0, 0.1, CdrResponse(204, {}, b""), None)
    told = [(account_id, delivery.id, delivery.state) for account_id, delivery in notes.deliveries]
    assert told == [("1", n, DeliveryState.DELIVERED) for n in (1, 2, 3)]
    assert operator.deliveries.count_pending() == 0
