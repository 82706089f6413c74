"""A recording: what was asked and answered, without secrets, as a file that a later version can replay."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from pytest_mcn_mock import schemas
from pytest_mcn_mock.drift.exchanges import Answer, Credential, Exchange, Sent, Trouble, depth_is_bounded
from pytest_mcn_mock.drift.planning import LeftOut
from pytest_mcn_mock.drift.questions import Party
from pytest_mcn_mock.errors import UsageError

FORMAT: Final = "mcn-mock recording"
VERSION: Final = 1
MAX_FILE_SIZE: Final = 16 * 2**20
MAX_BODY_KEPT: Final = 1_000
"""Characters of a request's body; a longer one is padding, and its length says enough."""


@dataclass(frozen=True, slots=True)
class Recording:
    """An interview. ``spent`` is in kopecks, by the prices of the article, for what was accepted or not answered.

    ``stopped`` says why it ended early.
    """

    base_url: str
    recorded_at: str
    party: Party
    exchanges: tuple[Exchange, ...]
    left_out: tuple[LeftOut, ...] = ()
    spent: int = 0
    stopped: str | None = None


def dump(recording: Recording) -> str:
    """The text of the file: JSON, as ``schemas/recording.schema.json`` has it."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "base_url": recording.base_url,
        "recorded_at": recording.recorded_at,
        "account_id": recording.party.account_id,
        "ring": recording.party.ring,
        "caller_did": recording.party.caller_did,
        "spent_kopecks": recording.spent,
        "stopped": recording.stopped,
        "exchanges": [_show(exchange) for exchange in recording.exchanges],
        "not_asked": [{"question": left.question, "why": left.why} for left in recording.left_out],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def load(path: Path) -> Recording:
    """The recording in a file; UsageError for a file that is none."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_SIZE:
        raise UsageError(f"{path} is larger than {MAX_FILE_SIZE} bytes")
    try:
        content = json.loads(data.decode())
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is no JSON document in UTF-8") from None
    if isinstance(content, dict) and content.get("format") == FORMAT and content.get("version") != VERSION:
        version = str(content.get("version"))[:20]
        raise UsageError(f"{path} is a recording of version {version}; this mcn-mock reads version {VERSION}")
    mistake = best_match(Draft202012Validator(schemas.load("recording")).iter_errors(content))
    if mistake is not None:
        raise UsageError(f"{path} is no recording: {mistake.json_path}: {mistake.message[:200]}")
    return Recording(
        content["base_url"],
        content["recorded_at"],
        Party(content["account_id"], content["ring"], content["caller_did"]),
        tuple(_read(item, path) for item in content["exchanges"]),
        tuple(LeftOut(**item) for item in content["not_asked"]),
        content["spent_kopecks"],
        content["stopped"],
    )


def _show(exchange: Exchange) -> dict[str, Any]:
    sent, answer = exchange.sent, exchange.answer
    return {
        "question": exchange.question,
        "request": {
            "method": sent.method,
            "path": sent.path,
            "query": sent.query,
            "credential": sent.credential,
            "content_type": sent.content_type,
            "body": sent.body[:MAX_BODY_KEPT],
            "body_length": len(sent.body),
        },
        "trouble": exchange.trouble,
        "answer": None if answer is None else _show_answer(answer),
    }


def _show_answer(answer: Answer) -> dict[str, Any]:
    body = {"json": answer.document} if answer.is_json else {"text": answer.text}
    headers = {"content-type": answer.media_type, "location": answer.location}
    return {
        "status": answer.status,
        "headers": {name: value for name, value in headers.items() if value},
        **body,
        "is_cut": answer.is_cut,
    }


def _read(item: dict[str, Any], path: Path) -> Exchange:
    request, answer = item["request"], item["answer"]
    sent = Sent(
        request["method"],
        request["path"],
        request["query"],
        Credential(request["credential"]),
        request["content_type"],
        request["body"].ljust(request["body_length"], "x"),
    )
    trouble = None if item["trouble"] is None else Trouble(item["trouble"])
    if answer is None:
        return Exchange(item["question"], sent, None, trouble)
    if not depth_is_bounded(answer.get("json")):
        raise UsageError(f"{path} is no recording: the answer to {item['question']} is nested too deeply")
    return Exchange(
        item["question"],
        sent,
        Answer(
            answer["status"],
            answer["headers"].get("content-type", ""),
            answer.get("json"),
            answer.get("text"),
            answer["headers"].get("location"),
            answer["is_cut"],
        ),
    )
