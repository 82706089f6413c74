"""Random values of an account, drawn from its seed: the n-th draw of a seed is the same on every machine.

A draw depends only on the seed and on its number, not on the draws before it. So a storage needs to keep only a
counter.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from msgspec import Struct

MAX_SEED = 2**63 - 1
_ID_BITS = 48
_ID_MASK = (1 << _ID_BITS) - 1


class CallDraw(Struct, frozen=True, gc=False):
    """The draw of a call: its id (twelve lower-case hex digits), and the id as the integer that chooses the caller's
    number.
    """

    call_id: str
    number: int


def draw_call(seed: int, n: int) -> CallDraw:
    """Return the draw for the ``n``-th accepted call of an account. No two of its calls share an id (below 2**48)."""
    mixed = (_id_offset(seed) + n) & _ID_MASK
    # Each step is a bijection of 48-bit integers, so that ids differ without a look-up.
    for _ in range(2):
        mixed ^= mixed >> 25
        mixed = (mixed * 0x9E3779B97F4B) & _ID_MASK
    mixed ^= mixed >> 24
    return CallDraw(f"{mixed:012x}", mixed)


def draw_account(seed: int, attempt: int = 0) -> tuple[str, str]:
    """Return an account's id (eight digits, as in the vendor's examples) and token for a seed.

    ``attempt`` counts up from 0 if an id is taken already.
    """
    number = _integer(f"account/{seed}/{attempt}")
    token = blake2b(f"token/{seed}/{attempt}".encode(), digest_size=16).hexdigest()
    return str(10_000_000 + number % 90_000_000), f"mcn-{token}"


def draw_chance(seed: int, n: int, index: int) -> float:
    """Return a number from 0 up to 1: it decides whether the fault at this index strikes in the ``n``-th draw."""
    return _integer(f"chance/{seed}/{n}/{index}") / 2**64


def draw_share(seed: int, n: int, index: int) -> float:
    """Return a number above 0 and up to 1: how much of its jitter a fault uses, numbered as in ``draw_chance``."""
    return ((_integer(f"jitter/{seed}/{n}/{index}") >> 11) + 1) / 2**53


def seed_from_name(name: str) -> int:
    """Return a seed that depends only on the name, so that a test draws the same numbers in every run."""
    return _integer(f"seed/{name}") % 2**32


@lru_cache(maxsize=1024)
def _id_offset(seed: int) -> int:
    return _integer(f"calls/{seed}") & _ID_MASK


def _integer(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
