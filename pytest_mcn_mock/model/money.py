"""Money: integer kopecks inside, ``Decimal`` roubles or their text at the edge, never a float."""

from __future__ import annotations

from decimal import Context, Decimal, InvalidOperation

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.checks import show

KOPECKS_PER_ROUBLE = 100
MAX_KOPECKS = 10**15
"""Ten trillion roubles: more than any test needs, and still exact as a JSON number."""
_CONTEXT = Context(prec=28)
"""Of our own: an application under test may round to six digits in its."""


def parse_roubles(amount: str | int | Decimal, *, name: str = "amount") -> int:
    """Kopecks from an amount in roubles, such as ``"10.00"``, ``10`` or ``Decimal("0.15")``.

    Raises UsageError for a float, a fraction of a kopeck, a text that is no number, and an amount beyond MAX_KOPECKS.
    """
    if isinstance(amount, bool) or not isinstance(amount, (str, int, Decimal)):
        raise UsageError(f'{name} is {show(amount)}; give roubles as text or Decimal, such as "10.00"')
    try:
        # Decimal takes underscores and the digits of every script; an amount is written in neither.
        is_plain = not isinstance(amount, str) or (amount.isascii() and "_" not in amount)
        roubles = Decimal(amount if is_plain else "NaN")
    except InvalidOperation:
        roubles = Decimal("NaN")
    if not roubles.is_finite():
        raise UsageError(f'{name} is {str(amount)[:40]!r}, which is no amount; give roubles such as "10.00"')
    if roubles.copy_abs() > MAX_KOPECKS // KOPECKS_PER_ROUBLE:
        raise UsageError(f"{name} is too large; the most is {format_roubles(MAX_KOPECKS)} roubles")
    kopecks = int(_CONTEXT.multiply(roubles, KOPECKS_PER_ROUBLE))
    if to_decimal(kopecks) != roubles:  # a comparison is exact where the product was rounded
        raise UsageError(
            f"{name} is {str(amount)[:40]} roubles, which has a fraction of a kopeck; two decimals at most"
        )
    return kopecks


def to_decimal(kopecks: int) -> Decimal:
    """Roubles, always with two decimals: ``to_decimal(15) == Decimal("0.15")``."""
    return Decimal(f"{kopecks}e-2")


def format_roubles(kopecks: int) -> str:
    """Roubles as text with two decimals: ``format_roubles(-5) == "-0.05"``."""
    return str(to_decimal(kopecks))
