"""Whether an answer is what the schemas of ``schemas/`` say."""

from __future__ import annotations

from functools import cache

from jsonschema import Draft202012Validator

from pytest_mcn_mock import schemas
from pytest_mcn_mock.drift.exchanges import Answer, Sent, is_acceptance
from pytest_mcn_mock.model.money import Method

_MOST = 5


def schema_of(sent: Sent, answer: Answer) -> str:
    """The name of the schema of an answer."""
    if not is_acceptance(answer):
        return "error"
    is_2fa = sent.path.endswith(f"/{Method.CALL_FOR_2FA}")
    return f"{Method.CALL_FOR_2FA if is_2fa else Method.FLASH_CALL}.response"


def schema_problems(sent: Sent, answer: Answer) -> list[str]:
    """What the schema does not allow, each with its place; empty for an answer that it allows."""
    if not answer.is_json:
        return ["is no JSON"]
    errors = sorted(_validator(schema_of(sent, answer)).iter_errors(answer.document), key=lambda e: e.json_path)
    return [f"{error.json_path}: {error.message[:160]}" for error in errors[:_MOST]]


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schemas.load(name), registry=schemas.registry())
