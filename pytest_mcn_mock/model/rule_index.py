"""Finding an account's outcome rule for a number without trying them one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pytest_mcn_mock.model.outcomes import OutcomeRule

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


_indexes: dict[int, tuple[tuple[OutcomeRule, ...], RuleIndex]] = {}
"""By the identity of the rules: to compare a thousand of them would cost what the index saves. Two threads may make the
same index, and either will do.
"""


def _index_of(rules: tuple[OutcomeRule, ...]) -> RuleIndex:
    kept = _indexes.get(id(rules))
    if kept is not None and kept[0] is rules:
        return kept[1]
    if len(_indexes) >= MAX_KEPT:
        _indexes.clear()
    index = RuleIndex(rules)
    _indexes[id(rules)] = (rules, index)
    return index


def first_match(rules: tuple[OutcomeRule, ...], login_did: str) -> OutcomeRule | None:
    """The first rule whose pattern fits, or None."""
    if len(rules) <= FEW:
        return next((rule for rule in rules if rule.matches(login_did)), None)
    return _index_of(rules).first_match(login_did)
