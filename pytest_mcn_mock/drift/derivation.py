"""The settings that make the fake do what a server does, as far as settings can, and their text in TOML."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from pytest_mcn_mock.drift.comparison import Aspect, Difference
from pytest_mcn_mock.drift.envelopes import CODE, Sample, infer_template, read_refusal
from pytest_mcn_mock.drift.exchanges import Answer, Exchange, is_acceptance
from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.model.assumptions import DEFAULT_STATUS, Assumptions, NumberFormat

PASTED_QUESTION = "pasted_number"
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Case:
    """An exchange, and why the fake refuses the same request; None where it accepts it."""

    exchange: Exchange
    refusal: Refusal | None


def derive(cases: Sequence[Case], differences: Sequence[Difference], current: Assumptions) -> Assumptions:
    """The current settings with what the answers show put in: ``error_body`` where most refusals have another form,
    ``error_status`` by the most frequent status for each code word, and ``number_format``.
    """
    samples = [
        Sample(case.exchange.answer.document, case.exchange.answer.status, case.refusal)
        for case in cases
        if case.exchange.answer is not None and case.refusal is not None and _is_refused(case.exchange.answer)
        if case.exchange.answer.is_json
    ]
    error_body: Mapping[str, Any] = current.error_body
    if any(difference.aspect is Aspect.BODY for difference in differences):
        error_body = infer_template(samples) or error_body
    return replace(
        current,
        error_body=error_body,
        error_status=_statuses(cases, error_body, current),
        number_format=_number_format(cases, current),
    )


def _is_refused(answer: Answer) -> bool:
    return not is_acceptance(answer) and not 300 <= answer.status <= 399


def _number_format(cases: Sequence[Case], current: Assumptions) -> NumberFormat:
    """By the answer to the pasted number, where any call was accepted: else it may be refused for another reason."""
    accepted = [case.exchange.question for case in cases if is_acceptance(case.exchange.answer)]
    asked = any(case.exchange.question == PASTED_QUESTION and case.exchange.answer is not None for case in cases)
    if not asked or not accepted:
        return current.number_format
    return NumberFormat.PASTED if PASTED_QUESTION in accepted else NumberFormat.DIGITS


def _statuses(cases: Sequence[Case], error_body: Mapping[str, Any], current: Assumptions) -> Mapping[RefusalCode, int]:
    seen: defaultdict[RefusalCode, Counter[int]] = defaultdict(Counter)
    for case in cases:
        answer = case.exchange.answer
        if answer is None or case.refusal is None or not _is_refused(answer) or not 200 <= answer.status <= 599:
            continue
        word = (read_refusal(answer.document, error_body) or {}).get(CODE)
        if word in tuple(RefusalCode) and word != case.refusal.code:
            continue  # refused for another reason, of which the status is
        seen[case.refusal.code][answer.status] += 1
    found = {code: counts.most_common(1)[0][0] for code, counts in seen.items()}
    changed = {code: status for code, status in found.items() if status != current.status_of(code)}
    return {**current.error_status, **changed} if changed else current.error_status


def setting_of(difference: Difference, derived: Assumptions) -> str:
    """The setting that settles a difference, as a line of TOML."""
    if difference.aspect is Aspect.OUTCOME:
        return f"number_format = {toml_value(str(derived.number_format))}"
    if difference.aspect is Aspect.STATUS and difference.refusal is not None:
        status = derived.status_of(difference.refusal)
        return f"error_status = {toml_value({str(difference.refusal): status})}"
    return f"error_body = {toml_value(derived.error_body)}"


def toml_of(derived: Assumptions, current: Assumptions) -> str | None:
    """The table ``[assumed]`` with what is derived; None where nothing is."""
    lines = []
    if derived.number_format != current.number_format:
        lines.append(f"number_format = {toml_value(str(derived.number_format))}")
    statuses = {
        str(code): derived.status_of(code)
        for code in RefusalCode
        if not derived.status_of(code) == current.status_of(code) == DEFAULT_STATUS[code]
    }
    if derived.error_status != current.error_status:
        lines.append(f"error_status = {toml_value(statuses)}")
    if derived.error_body != current.error_body:
        lines.append(f"error_body = {toml_value(derived.error_body)}")
    return "\n".join(["[assumed]", *lines]) + "\n" if lines else None


def toml_value(value: Any) -> str:
    """A value on one line of TOML: tables inline."""
    if isinstance(value, Mapping):
        items = ", ".join(f"{_key(name)} = {toml_value(child)}" for name, child in value.items())
        return f"{{ {items} }}" if items else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml_value, value))}]"
    # JSON spells text, numbers and booleans as TOML does, but for the one control character that it lets through.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else toml_value(name)
