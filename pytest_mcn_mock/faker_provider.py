"""A provider for Faker: numbers, identifiers and records as the operator makes them (the extra ``faker``).

Everything is drawn from Faker's own random generator, so that Faker's seed gives the same values again. Nothing in this
package imports the module by itself but ``mcn-mock serve --demo``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from faker.providers import BaseProvider
from msgspec.structs import replace

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model import calls
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.cdr import DEFAULT_VARIABLES, Cdr
from pytest_mcn_mock.model.checks import check_text
from pytest_mcn_mock.model.money import KOPECKS_PER_ROUBLE, Method
from pytest_mcn_mock.model.numbering import COUNTRY_NAMES, RUSSIA, caller_number, is_code
from pytest_mcn_mock.model.outcomes import CAUSE_NAMES, Outcome, ending
from pytest_mcn_mock.model.placing import place
from pytest_mcn_mock.model.rendering import render
from pytest_mcn_mock.model.webhooks import Subscription, make_subscription

MOBILE: Final = {
    RUSSIA: "7915#######",
    703: "421905######",
    398: "7701#######",
    112: "37533#######",
    348: "3630#######",
    860: "99890#######",
}
"""A block of mobile numbers for each country (ISO 3166-1 numeric) that ``mcn_login_did`` knows."""
_UNAVAILABLE: Final = tuple(cause for cause in CAUSE_NAMES if cause not in (16, 17, 31))
_FIRST_DAY: Final = 1_640_995_200
_DAYS_S: Final = 365 * 86_400
"""Calls are in 2022, the article's year: a record must not depend on today's date."""


class McnProvider(BaseProvider):
    """Methods for ``fake.add_provider(McnProvider)``; an invalid argument raises UsageError.

    For a type checker, ``McnProvider(fake.factories[0])`` has the same methods and the same seed, with their types.
    """

    def mcn_did(self, country: int = RUSSIA, code: str | None = None) -> str:
        """Return a number of the operator's own, from which a flash call comes: valid, of the country (643, 703 or
        398), and ending in ``code`` if one is given.
        """
        if country not in COUNTRY_NAMES:
            raise UsageError(f"country {country!r} has no callers' numbers; it is one of {_words(COUNTRY_NAMES)}")
        if code is not None and not (isinstance(code, str) and is_code(code)):
            raise UsageError(f"code {code!r} is not four digits in text, such as '0042'")
        return caller_number(country, code, self.generator.random.getrandbits(64))

    def mcn_login_did(self, country: int = RUSSIA) -> str:
        """Return a valid mobile number of a subscriber, to which a call goes. ``country`` is in MOBILE."""
        if country not in MOBILE:
            raise UsageError(f"country {country!r} is not among those with a block of numbers: {_words(MOBILE)}")
        return str(self.numerify(MOBILE[country]))

    def mcn_code(self) -> str:
        """Return a code: four digits, leading zeros included."""
        return str(self.numerify("####"))

    def mcn_account_id(self) -> str:
        """Return an account's id: eight digits, as in the vendor's examples."""
        return str(self.random_int(10_000_000, 99_999_999))

    def mcn_token(self) -> str:
        """Return a token as the fake draws them."""
        return f"mcn-{self.generator.random.getrandbits(128):032x}"

    def mcn_call_uuid(self, account_id: str | int | None = None) -> str:
        """Return a ``verification_call_uuid``: twelve lower-case hex digits, ``_`` and the account's id."""
        return f"{self.generator.random.getrandbits(48):012x}_{account_id or self.mcn_account_id()}"

    def mcn_outcome(self) -> Outcome:
        """How a call ended, each outcome as likely as the others."""
        return self.random_element(tuple(Outcome))

    def mcn_cdr(
        self,
        outcome: Outcome | str | None = None,
        *,
        q931_status: int | None = None,
        body: Sequence[str] = DEFAULT_VARIABLES,
        values: str = "typed",
        account_id: str | int | None = None,
        verification_call_uuid: str | None = None,
    ) -> dict[str, Any]:
        """Return the record of a flash call, as a webhook gets it that lists variables: those of ``body`` that have a
        value. With ``values`` text all values are text.

        ``outcome`` or ``q931_status`` says how the call ended, and is drawn if neither is given; the cause of an
        unavailable number is drawn. ``final_status`` is absent if the article documents none. The account is that of
        ``verification_call_uuid`` if only that is given.
        """
        webhook = make_subscription("http://localhost/", body=body, values=values)
        return self._sent_to(webhook, outcome, q931_status, account_id, verification_call_uuid)

    def mcn_event(
        self,
        outcome: Outcome | str | None = None,
        *,
        q931_status: int | None = None,
        account_id: str | int | None = None,
        verification_call_uuid: str | None = None,
    ) -> dict[str, Any]:
        """Return the whole event of a flash call in its envelope, as a webhook gets it that asks for all variables.

        ``created_at`` is three hours ahead, as in the vendor's samples. The arguments are those of ``mcn_cdr``.
        """
        webhook = make_subscription("http://localhost/", all_variables=True)
        return self._sent_to(webhook, outcome, q931_status, account_id, verification_call_uuid)

    def _sent_to(
        self,
        webhook: Subscription,
        outcome: Outcome | str | None,
        q931_status: int | None,
        account_id: str | int | None,
        verification_call_uuid: str | None,
    ) -> dict[str, Any]:
        """Return the record of a drawn call in the form of a webhook."""
        if verification_call_uuid is not None:
            check_text(verification_call_uuid, name="verification_call_uuid", example="fa278be48dc2_117793")
        if outcome is None and q931_status is None:
            outcome = self.mcn_outcome()
        how = ending(outcome, q931_status, unavailable_cause=self.random_element(_UNAVAILABLE))
        account_id = account_id or (verification_call_uuid or "").rpartition("_")[2] or self.mcn_account_id()
        account = Account(str(account_id), self.mcn_token(), self.generator.random.getrandbits(63))
        order = calls.CallOrder(Method.FLASH_CALL, self.mcn_login_did(), self.mcn_code())
        random = self.generator.random
        placed_at = random.uniform(_FIRST_DAY, _FIRST_DAY + _DAYS_S)
        ended_at = placed_at + random.uniform(2, 30)
        call = place(account, KOPECKS_PER_ROUBLE, 0, order, Assumptions(), placed_at)
        call = calls.end(call, how, ended_at)
        if verification_call_uuid is not None:
            call = replace(call, verification_call_uuid=verification_call_uuid)
        return render(webhook, Cdr(call, Assumptions()), ended_at).record


def _words(countries: Mapping[int, str]) -> str:
    return ", ".join(map(str, countries))
