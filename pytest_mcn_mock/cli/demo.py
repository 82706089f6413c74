"""``mcn-mock serve --demo``: a day's traffic to look at.

The day goes the usual way: each request is one that a client could have sent, and the usual worker sends each CDR,
tries it again and lets it fail. Two parts are replaced meanwhile: the clock, which shows the day that has just passed,
and the sender, which answers by itself, so that nothing leaves the machine.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace

from pytest_mcn_mock.cli.logs import silenced
from pytest_mcn_mock.clocks import SystemClock
from pytest_mcn_mock.compose import Fake, make_http_sender
from pytest_mcn_mock.delivery.worker import Sender
from pytest_mcn_mock.errors import ConfigError, SendError
from pytest_mcn_mock.flow import Done, go_on, go_on_until, step
from pytest_mcn_mock.model.cdr import DEFAULT_VARIABLES, VARIABLES
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.outcomes import OutcomeRule, ending
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.web.dialects import API_MCN
from pytest_mcn_mock.web.http import Request, Response

if TYPE_CHECKING:
    from pytest_mcn_mock.faker_provider import McnProvider

_log = logging.getLogger("mcn_mock")

SEED: Final = 20220527
DAY_S: Final = 86_400.0
SLOT_S: Final = 150
"""An account's calls are at least so far apart that one is settled, retries included, before the next is placed."""
SETTLED_S: Final = 100.0
WEBHOOK: Final = "http://localhost:8000/webhooks/mcn"
"""The URL of the accounts' webhooks: a developer's own application, while the demo runs."""
RULES: Final = (
    OutcomeRule(ending("busy", unavailable_cause=18), "*1", 3.0),
    OutcomeRule(ending("no_answer", unavailable_cause=18), "*2", 30.0),
    OutcomeRule(ending("unavailable", unavailable_cause=18), "*3", 6.0),
    OutcomeRule(ending(q931_status=27, unavailable_cause=18), "*04", 2.0),
    OutcomeRule(ending("rejected", unavailable_cause=18), "*5", 1.0),
    OutcomeRule(ending("answered", unavailable_cause=18), "*", 8.0),
)
"""How calls end, by the last digits of the number that is called; the page shows them, and they hold afterwards too."""
COUNTRIES: Final = (643,) * 9 + (398, 703, 112, 348, 860)
_NO_ANSWER: Final = 0
"""In a list of statuses: the endpoint does not answer in time."""


class Client(Struct, frozen=True):
    """One account of the demo. ``balance`` and ``top_up`` are in roubles; money is added after three refusals in a row.

    ``calls`` are placed in a day, ``for_2fa`` out of a hundred from a number of its own. From ``outage[0]`` to
    ``outage[1]``, in hours of the day, its endpoint is down. Without ``retry`` a CDR fails then; otherwise it is tried
    again until it is delivered.
    """

    calls: int
    balance: str
    top_up: str
    for_2fa: int = 0
    method: str = "POST"
    body: Sequence[str] = DEFAULT_VARIABLES
    outage: tuple[int, int] = (0, 0)
    retry: bool = True


CLIENTS: Final = (
    Client(calls=140, balance="50.00", top_up="50.00", outage=(15, 16)),
    Client(calls=90, balance="25.00", top_up="25.00", for_2fa=60, body=tuple(VARIABLES)),
    Client(calls=60, balance="4.00", top_up="5.00", method="GET"),
    Client(calls=25, balance="1.00", top_up="1.50", outage=(8, 12), retry=False),
)


class DemoClock:
    """The day that has just passed, for each account at its own pace; the machine's time after ``hand_over``."""

    def __init__(self) -> None:
        self._machine = SystemClock()
        self._start = self._machine.now(None) - DAY_S
        self._passed: dict[str | None, float] = {}
        self.is_shared = False

    @property
    def is_past(self) -> bool:
        """Return whether the day is still passing."""
        return not self.is_shared

    def now(self, account_id: str | None) -> float:
        """Seconds since the epoch, for the account."""
        return self._start + self._passed.get(account_id, 0.0) if self.is_past else self._machine.now(account_id)

    def move(self, account_id: str | None, seconds: float) -> None:
        """Put the time forward: the account's while the day passes, and every account's afterwards."""
        if self.is_past:
            self._passed[account_id] = self._passed.get(account_id, 0.0) + seconds
        else:
            self._machine.move(account_id, seconds)

    def begin_again(self, account_id: str) -> None:
        """Let the time of a closed account begin again."""
        self._passed.pop(account_id, None)

    def reach(self, account_id: str | None, moment: float) -> None:
        """Put the account's time forward to the moment, if it is not later already."""
        if self.is_past:
            self._passed[account_id] = max(self._passed.get(account_id, 0.0), moment - self._start)

    def pass_day(self, account_id: str, offset_s: float) -> None:
        """So many seconds of the day have passed for the account."""
        self.reach(account_id, self._start + offset_s)

    def hand_over(self) -> None:
        """Let every account have the machine's time from now on: the day is over."""
        self.is_shared = True


class StandIn:
    """A sender that answers by itself: with the statuses of ``answers`` in turn, and 204 when there are no more."""

    def __init__(self, answers: deque[int]) -> None:
        self._answers = answers

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        """Return the next answer. Raises SendError if there is none for it."""
        status = self._answers.popleft() if self._answers else 204
        if status == _NO_ANSWER:
            raise SendError(f"no answer within {timeout_s:g} s")
        return CdrResponse(status, {"Server": "demo"}, b"" if status == 204 else b"not now")

    async def close(self) -> None:
        """Nothing is open."""


class _Account(Struct, frozen=True):
    """A client's account as it was drawn. ``offsets`` are when it sends its requests, in seconds of the day."""

    client: Client
    id: str
    company: str
    caller: str
    seed: int
    offsets: Sequence[float]

    @property
    def token(self) -> str:
        return f"demo-{self.id}"


class Demo:
    """A day's traffic. Except for the date, it is the same for the same seed. Make it before ``compose`` and fill it in
    afterwards.

    Raises ConfigError if Faker is not installed.
    """

    def __init__(self, seed: int = SEED, make_sender: Callable[..., Sender] = make_http_sender) -> None:
        try:
            from faker import Faker

            from pytest_mcn_mock.faker_provider import McnProvider
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "faker":
                raise
            needs = "--demo needs Faker, which is not installed: pip install 'pytest-mcn-mock[sandbox,faker]'"
            raise ConfigError("mcn-mock", [needs]) from None
        names = Faker("ru_RU")
        names.seed_instance(seed)
        self._names = names
        self._fake: McnProvider = McnProvider(names.factories[0])
        self._random = names.factories[0].random
        self._answers: deque[int] = deque()
        self._make_sender = make_sender
        self.clock = DemoClock()

    def make_sender(self, *arguments: Any) -> Sender:
        """Return a sender that answers by itself while the day passes, and the real one afterwards."""
        return StandIn(self._answers) if self.clock.is_past else self._make_sender(*arguments)

    async def fill(self, fake: Fake) -> None:
        """Let the day pass, and hand over to the machine's time. One call is left ringing.

        If the accounts exist already, from an earlier start, nothing is added to them.
        """
        accounts = [self._draw(client) for client in CLIENTS]
        if await fake.service.storage.is_taken(accounts[0].id):
            _log.warning("the demo's accounts exist already, so no traffic is added")
        else:
            for account in accounts:
                await self._open(fake, account)
            with silenced():
                await self._pass_day(fake, accounts)
            await self._leave_ringing(fake, accounts[0])
            await fake.worker.close()  # which drops the stand-in
        self.clock.hand_over()
        await fake.worker.resume()

    async def _pass_day(self, fake: Fake, accounts: Sequence[_Account]) -> None:
        day = sorted(((offset, account) for account in accounts for offset in account.offsets), key=itemgetter(0))
        refused = dict.fromkeys((account.id for account in accounts), 0)
        for offset, account in day:
            self.clock.pass_day(account.id, offset)
            if refused[account.id] == 3:
                await fake.service.accounts.top_up(account.id, account.client.top_up)
            self._answers.extend(self._statuses(account.client, offset))
            status = await self._send(fake, self._request(account))
            refused[account.id] = refused[account.id] + 1 if status == 402 else 0
            await fake.worker.advance(SETTLED_S, account.id)
            self._answers.clear()

    def _draw(self, client: Client) -> _Account:
        # The last slots are left free, so that the day ends before it is now.
        slots = self._random.sample(range(int(DAY_S) // SLOT_S - 4), client.calls)
        return _Account(
            client,
            id=self._fake.mcn_account_id(),
            company=str(self._names.company()),
            caller=self._fake.mcn_did(),
            seed=self._random.getrandbits(32),
            offsets=[slot * SLOT_S + self._random.uniform(0, SLOT_S - SETTLED_S) for slot in slots],
        )

    async def _open(self, fake: Fake, account: _Account) -> None:
        client = account.client
        subscription = make_subscription(
            WEBHOOK, method=client.method, body=client.body, constants={"client": account.company}, retry=client.retry
        )
        await fake.service.accounts.open(
            seed=account.seed,
            balance=client.balance,
            account_id=account.id,
            token=account.token,
            numbers=[account.caller],
            outcome_rules=RULES,
            subscriptions=[subscription],
        )

    def _request(self, account: _Account) -> Request:
        """Return the request of a client: mostly a call, rarely a mistake."""
        parameters = {"login_did": self._fake.mcn_login_did(self._random.choice(COUNTRIES))}
        token, method = account.token, Method.FLASH_CALL
        if self._random.randrange(100) < account.client.for_2fa:
            method, parameters["caller_did"] = Method.CALL_FOR_2FA, account.caller
        elif self._random.randrange(2):
            parameters["code"] = self._fake.mcn_code()
        match self._random.randrange(100):
            case 0:
                token = self._fake.mcn_token()
            case 1:
                del parameters["login_did"]
            case 2:
                parameters["login_did"] = f"+{parameters['login_did']}"
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        path = API_MCN.path(method, account.id)
        return Request("POST", path, urlencode(parameters).encode(), headers)

    def _statuses(self, client: Client, offset: float) -> Iterator[int]:
        """The answers of the client's endpoint to the CDR of a call, one for each attempt."""
        start, end = client.outage
        if start <= offset / 3600 < end:
            return iter((503,) * 4)
        chance = self._random.randrange(100)
        if chance < 4:
            return iter((500, 204))
        if chance < 6:
            return iter((_NO_ANSWER, 502, 204))
        return iter((_NO_ANSWER,) * 4 if chance < 7 else ())

    async def _send(self, fake: Fake, request: Request) -> int:
        flow = fake.application.serve(request)
        response = await go_on_until(Response, flow, step(flow))
        if not isinstance(rest := step(flow), Done):
            await go_on(flow, rest)
        return response.status

    async def _leave_ringing(self, fake: Fake, account: _Account) -> None:
        """A call to complete manually, placed a minute ago."""
        self.clock.pass_day(account.id, DAY_S - 60)
        await fake.service.accounts.top_up(account.id, account.client.top_up)
        await fake.service.accounts.change(account.id, lambda held: replace(held, calls_held=True))
        query = urlencode({"login_did": self._fake.mcn_login_did(), "code": self._fake.mcn_code()}).encode()
        path = API_MCN.path(Method.FLASH_CALL, account.id)
        await self._send(fake, Request("POST", path, query, {"authorization": f"Bearer {account.token}"}))
        await fake.service.accounts.change(account.id, lambda held: replace(held, calls_held=False))
