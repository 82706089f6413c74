"""Money: integer kopecks inside, ``Decimal`` roubles or text at the edge, never a float.

A tariff has the price of each method (the article prices the method, not the call). Every movement of an account's
money is an entry of its ledger, and the balance is their sum.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from decimal import Context, Decimal, InvalidOperation
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from pytest_mcn_mock.errors import UsageError, nearest
from pytest_mcn_mock.model.checks import check_mapping, show
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.numbering import KAZAKHSTAN, RUSSIA, SLOVAKIA
from pytest_mcn_mock.reasons import Reason

KOPECKS_PER_ROUBLE = 100
MAX_KOPECKS = 10**15
"""Ten trillion roubles: more than any test needs, and still exact as a JSON number."""
_CONTEXT = Context(prec=28)
"""Our own context, because an application under test may set its context to six digits."""


def parse_roubles(amount: str | int | Decimal, *, name: str = "amount", parameter: str | None = None) -> int:
    """Return the kopecks of an amount in roubles, such as ``"10.00"``, ``10`` or ``Decimal("0.15")``.

    Raises UsageError for a float, a fraction of a kopeck, a text that is not a number, and more than MAX_KOPECKS. Its
    ``parameter`` is the name if no other is given.
    """
    if isinstance(amount, bool) or not isinstance(amount, (str, int, Decimal)):
        raise UsageError(Reason("amount_type", {"name": name, "value": show(amount)}), parameter or name)
    try:
        # Decimal accepts underscores and the digits of every script; an amount must have neither.
        is_plain = not isinstance(amount, str) or (amount.isascii() and "_" not in amount)
        roubles = Decimal(amount if is_plain else "NaN")
    except InvalidOperation:
        roubles = Decimal("NaN")
    if not roubles.is_finite():
        raise UsageError(Reason("amount", {"name": name, "value": repr(str(amount)[:40])}), parameter or name)
    if roubles.copy_abs() > MAX_KOPECKS // KOPECKS_PER_ROUBLE:
        raise UsageError(
            Reason("amount_too_large", {"name": name, "most": format_roubles(MAX_KOPECKS)}), parameter or name
        )
    kopecks = int(_CONTEXT.multiply(roubles, KOPECKS_PER_ROUBLE))
    if to_decimal(kopecks) != roubles:  # a comparison is exact even if the product was rounded
        raise UsageError(Reason("amount_fraction", {"name": name, "value": str(amount)[:40]}), parameter or name)
    return kopecks


def to_decimal(kopecks: int) -> Decimal:
    """Return roubles, always with two decimals: ``to_decimal(15) == Decimal("0.15")``."""
    return Decimal(f"{kopecks}e-2")


def format_roubles(kopecks: int) -> str:
    """Return roubles as text with two decimals: ``format_roubles(-5) == "-0.05"``."""
    return str(to_decimal(kopecks))


class Method(StrEnum):
    """The two kinds of call, with the article's names of the methods. Another dialect may have other names."""

    CALL_FOR_2FA = "call_for_2fa"
    FLASH_CALL = "flash_call"


def _check_prices(name: str, call_for_2fa: int, flash_call: Mapping[int, int], countries: tuple[int, int]) -> None:
    first, second = countries
    check_mapping(flash_call, name=f"{name}: flash_call", example=f"{{{first}: 15, {second}: 45}}")
    if set(flash_call) != set(countries):
        raise UsageError(f"{name}: flash_call has prices for {show(list(flash_call))}; it needs {first} and {second}")
    for price in (call_for_2fa, *flash_call.values()):
        if isinstance(price, bool) or not isinstance(price, int) or not 0 <= price <= MAX_KOPECKS:
            raise UsageError(f"{name}: {show(price)} is not a price; use whole kopecks from 0, such as 15")


class PaidMethodsPrices(Struct, frozen=True):
    """The prices of the dialect ``paidmethods``, in kopecks; ``flash_call`` by the country of the number that calls.

    The defaults are the handbook's, "Flash call — звонки для авторизации, API", 12 August 2026: 1 kopeck, "от 15
    копеек" from a Russian number and "от 65 копеек" from a Kazakh one.

    Raises UsageError if a price is not valid or a country has none.
    """

    call_for_2fa: int = 1
    flash_call: Mapping[int, int] = MappingProxyType({RUSSIA: 15, KAZAKHSTAN: 65})

    def __post_init__(self) -> None:
        _check_prices("tariff: paidmethods", self.call_for_2fa, self.flash_call, (RUSSIA, KAZAKHSTAN))


class Tariff(Struct, frozen=True):
    """Prices in kopecks; ``flash_call`` by the country of the number that calls. ``paidmethods`` are that dialect's.

    The defaults are the article's: "сам вызов метода стоит 1 копейку" and "от 15 копеек, если он происходит с
    российского номера и 45 копеек, если он происходит со словацкого номера".

    Raises UsageError if a price is not valid or a country has none.
    """

    call_for_2fa: int = 1
    flash_call: Mapping[int, int] = MappingProxyType({RUSSIA: 15, SLOVAKIA: 45})
    paidmethods: PaidMethodsPrices = PaidMethodsPrices()

    def __post_init__(self) -> None:
        _check_prices("tariff", self.call_for_2fa, self.flash_call, (RUSSIA, SLOVAKIA))
        if not isinstance(self.paidmethods, PaidMethodsPrices):
            raise UsageError(f"tariff: paidmethods is {show(self.paidmethods)}; use a PaidMethodsPrices")

    def price(self, method: Method, caller_country: int | None, dialect: Dialect = Dialect.API_MCN) -> int:
        """Return the kopecks for one accepted call of ``method`` from a number of ``caller_country``."""
        prices = self.paidmethods if dialect is Dialect.PAIDMETHODS else self
        if method is Method.CALL_FOR_2FA or caller_country is None:
            return prices.call_for_2fa
        return prices.flash_call[caller_country]


def tariff_from_roubles(prices: Mapping[str, Any], default: Tariff | None = None) -> Tariff:
    """Return a tariff from prices in roubles: ``{"call_for_2fa": "0.01", "flash_call": {643: "0.15", 703: "0.45"}}``.

    ``paidmethods`` in it is the same for that dialect: ``{"flash_call": {643: "0.15", 398: "0.65"}}``. Prices that are
    left out come from ``default``. Raises UsageError, naming the key, if a key or a country is unknown or a price is
    not valid.
    """
    default = default or Tariff()
    check_mapping(prices, name="tariff", example='{"flash_call": {643: "0.15"}}, or a Tariff')
    of_paidmethods = prices.get("paidmethods", {})
    example = '{"flash_call": {643: "0.15"}}'
    check_mapping(of_paidmethods, name="tariff: paidmethods", example=example)
    own = {name: price for name, price in prices.items() if name != "paidmethods"}
    return Tariff(
        *_read_prices("tariff", own, default, also=("paidmethods",)),
        PaidMethodsPrices(*_read_prices("tariff: paidmethods", of_paidmethods, default.paidmethods)),
    )


def _read_prices(
    name: str, prices: Mapping[str, Any], default: Tariff | PaidMethodsPrices, also: tuple[str, ...] = ()
) -> tuple[int, dict[int, int]]:
    """Return the price of call_for_2fa and those of flash_call. ``also`` are further keys that are known."""
    known, place = (*Method, *also), name.replace(": ", ".")
    for key in prices:
        if key not in known:
            raise UsageError(
                Reason("price_unknown", {"name": name, "value": show(key), "hint": nearest(str(key), known)})
            )
    by_country = dict(default.flash_call)
    flash_call = prices.get("flash_call", {})
    if not isinstance(flash_call, Mapping):
        raise UsageError(Reason("prices_type", {"name": name, "value": show(flash_call)}))
    for country, price in flash_call.items():
        if str(country) not in map(str, default.flash_call):
            countries = " and ".join(map(str, default.flash_call))
            raise UsageError(Reason("price_no_country", {"name": name, "value": show(country), "countries": countries}))
        by_country[int(country)] = _price(price, f"flash_call from {country}", f"{place}.flash_call.{country}")
    call_for_2fa = prices.get("call_for_2fa")
    return default.call_for_2fa if call_for_2fa is None else _price(
        call_for_2fa, "call_for_2fa", f"{place}.call_for_2fa"
    ), by_country


def _price(roubles: Any, name: str, parameter: str) -> int:
    kopecks = parse_roubles(roubles, name=name, parameter=parameter)
    if kopecks < 0:
        raise UsageError(Reason("price_negative", {"name": name, "amount": format_roubles(kopecks)}), parameter)
    return kopecks


class EntryKind(StrEnum):
    """Why money moved."""

    OPENING = "opening"
    TOP_UP = "top_up"
    ADJUSTMENT = "adjustment"
    CHARGE = "charge"
    BROUGHT_FORWARD = "brought_forward"
    """The sum of the entries that a bounded ledger no longer lists one by one."""


class Entry(Struct, frozen=True, gc=False):
    """One movement of money. ``kopecks`` is negative for a charge; ``at`` is in seconds since the epoch.

    ``n`` numbers the account's entries from 1, and ``balance`` is the sum so far, in kopecks.
    """

    kind: EntryKind
    kopecks: int
    at: float
    verification_call_uuid: str | None = None
    n: int = 0
    balance: int = 0

    @property
    def amount(self) -> Decimal:
        """Return the movement in roubles."""
        return to_decimal(self.kopecks)

    def __str__(self) -> str:
        of = f" for {self.verification_call_uuid}" if self.verification_call_uuid else ""
        return f"{self.kind} {format_roubles(self.kopecks)}{of}"


class Ledger:
    """At most ``limit`` entries in order. Older ones are folded into one entry, which brings their sum forward."""

    def __init__(self, limit: int) -> None:
        if limit < 2:
            raise ValueError("a ledger needs room for the sum brought forward and for one entry")
        self._limit = limit
        self._entries: deque[Entry] = deque()
        self._last_folded: Entry | None = None
        self.balance = 0
        """Kopecks: the sum of the entries, kept beside them so that reading it costs nothing."""
        self._posted = 0

    def __iter__(self) -> Iterator[Entry]:
        if (last := self._last_folded) is not None:
            yield Entry(EntryKind.BROUGHT_FORWARD, last.balance, last.at, None, last.n, last.balance)
        yield from self._entries

    def __len__(self) -> int:
        return len(self._entries) + (self._last_folded is not None)

    def post(self, kind: EntryKind, kopecks: int, at: float, verification_call_uuid: str | None = None) -> None:
        """Add an entry. Fold the oldest ones if there are too many."""
        self._posted += 1
        self.balance += kopecks
        self._entries.append(Entry(kind, kopecks, at, verification_call_uuid, self._posted, self.balance))
        while len(self._entries) + (self._last_folded is not None) > self._limit:
            self._last_folded = self._entries.popleft()
