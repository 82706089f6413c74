"""What may be asked: a plan that cannot cost more than it is allowed to."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_mcn_mock.drift.questions import HARMLESS, PAID, Party, Question


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A question that is not asked, and why."""

    question: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The questions in the order in which they are asked, and those that are not.

    ``cost`` is in kopecks, by the prices of the article, if every one is accepted.
    """

    questions: tuple[Question, ...]
    left_out: tuple[LeftOut, ...]
    cost: int

    @property
    def calls(self) -> int:
        """How often the number is rung at most."""
        return sum(question.calls is not None for question in self.questions)


def make_plan(party: Party, spend: int | None) -> Plan:
    """The harmless questions, and of the others as many, in their order, as ``spend`` kopecks pay for.

    The first one that they do not pay for ends the plan. None is no permission to place a call at all.
    """
    asked = list(HARMLESS)
    left_out: list[LeftOut] = []
    cost = 0
    is_spent = False
    for question in PAID:
        price = question.price(party) if party.ring else 0
        if spend is None or party.ring is None:
            left_out.append(LeftOut(question.name, "may cost money: give --spend and --ring"))
        elif question.needs_caller and party.caller_did is None:
            left_out.append(LeftOut(question.name, "needs a connected number: give --caller-did"))
        elif is_spent or cost + price > spend:
            is_spent = True
            left_out.append(LeftOut(question.name, f"--spend {spend} does not pay for it"))
        else:
            asked.append(question)
            cost += price
    return Plan(tuple(asked), tuple(left_out), cost)
