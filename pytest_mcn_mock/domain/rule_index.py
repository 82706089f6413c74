"""Finding an account's outcome rule for a number without trying them one by one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Final

from pytest_mcn_mock.domain.outcomes import OutcomeRule

FEW: Final = 8
"""So many rules are tried faster than looked up."""
MAX_KEPT: Final = 4096


class RuleIndex:
    """The first rule that matches, by the number itself, by each of its beginnings, and by the patterns left over.

    Rules for one number and for a beginning (``7915*``) take as long to find among a thousand as among ten; those with
    a ``?``, or with a ``*`` elsewhere, are tried in order.
    """

    def __init__(self, rules: Sequence[OutcomeRule]) -> None:
        self._rules = rules
        self._exact: dict[str, int] = {}
        self._beginnings: dict[str, int] = {}
        self._others: list[int] = []
        for place, rule in enumerate(rules):
            beginning = rule.login_did.removesuffix("*")
            if "*" in beginning or "?" in beginning:
                self._others.append(place)
            else:
                kind = self._exact if beginning == rule.login_did else self._beginnings
                kind.setdefault(beginning, place)

    def first_match(self, login_did: str) -> OutcomeRule | None:
        """The first rule whose pattern fits, or None."""
        none = len(self._rules)
        first = self._exact.get(login_did, none)
        for end in range(len(login_did) + 1):
            first = min(first, self._beginnings.get(login_did[:end], none))
        for place in self._others:
            if place > first:
                break
            if self._rules[place].matches(login_did):
                first = place
        return None if first == none else self._rules[first]


class _Kept:
    """The indexes of tuples of rules, each by the tuple's identity: to compare a thousand rules would cost what the
    index saves.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._indexes: OrderedDict[int, tuple[tuple[OutcomeRule, ...], RuleIndex]] = OrderedDict()

    def of(self, rules: tuple[OutcomeRule, ...]) -> RuleIndex:
        with self._lock:
            kept = self._indexes.get(id(rules))
            if kept is not None and kept[0] is rules:
                return kept[1]
            index = RuleIndex(rules)
            self._indexes[id(rules)] = (rules, index)
            if len(self._indexes) > MAX_KEPT:
                self._indexes.popitem(last=False)
            return index


_kept = _Kept()


def first_match(rules: tuple[OutcomeRule, ...], login_did: str) -> OutcomeRule | None:
    """The first rule whose pattern fits, or None."""
    if len(rules) <= FEW:
        return next((rule for rule in rules if rule.matches(login_did)), None)
    return _kept.of(rules).first_match(login_did)
