"""What the two mocks written by hand in Python have in common: the answer, and the CDR that follows it."""

from __future__ import annotations

import os
import re
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

TOKEN = "test-token"  # noqa: S105 - the public token of the built-in account
SUBSCRIBED = "12345678"  # account 87654321 has no webhook
HOOK = os.environ.get("HOOK", "http://127.0.0.1:1/")
IS_TUNED = os.environ.get("TUNED") == "1"
"""A pool of threads with kept connections, in place of a thread and a connection for each CDR."""

_pool = ThreadPoolExecutor(16)
_local = threading.local()


def answer(account: str, authorization: str | None, login_did: str, code: str | None) -> tuple[int, dict[str, Any]]:
    """The status and the content of the answer to an order; its CDR is posted from another thread."""
    if authorization != f"Bearer {TOKEN}":
        return 401, {"status": "error", "code": 401, "errors": [{"code": "unauthorized"}]}
    if not re.fullmatch(r"\d{10,15}", login_did):
        return 400, {"status": "error", "code": 400, "errors": [{"code": "invalid_parameter"}]}
    uuid = f"{secrets.token_hex(6)}_{account}"
    if account == SUBSCRIBED:
        if IS_TUNED:
            _pool.submit(_post_kept, uuid)
        else:
            threading.Thread(target=_post, args=(uuid,), daemon=True).start()
    called = {"login_did": login_did, "code": code, "account_id": account, "verification_call_uuid": uuid}
    return 200, {"status": "success", "code": 200, "object": called}


def _cdr(uuid: str) -> dict[str, Any]:
    return {"verification_call_uuid": uuid, "q931_status": 16, "final_status": "ANSWERED"}


def _post(uuid: str) -> None:
    requests.post(HOOK, json=_cdr(uuid), timeout=5)


def _post_kept(uuid: str) -> None:
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
    _local.session.post(HOOK, json=_cdr(uuid), timeout=5)
