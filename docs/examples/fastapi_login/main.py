"""A login by flash call: the number that rings ends in the code. ``fastapi dev main.py`` runs it."""

import os
import secrets
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
from fastapi import FastAPI, HTTPException, Request, status
from pydantic import BaseModel, Field, ValidationError

CODE_LIVES_S = 300
ATTEMPTS = 3


class LoginForm(BaseModel):
    phone: str = Field(pattern=r"^[0-9]{7,15}$")


class CodeForm(BaseModel):
    code: str


class Cdr(BaseModel):
    """The record that the operator posts when a call has ended. If nobody was reached, ``final_status`` is missing."""

    verification_call_uuid: str
    q931_status: int
    final_status: str | None = None


@dataclass
class Login:
    code: str
    attempts_left: int = ATTEMPTS
    asked_at: float = field(default_factory=time.monotonic)

    def accepts(self, code):
        """Return whether the code is right. Each call is an attempt, and a right code is accepted only once."""
        if self.attempts_left == 0 or time.monotonic() - self.asked_at > CODE_LIVES_S:
            return False
        is_right = secrets.compare_digest(code.encode(), self.code.encode())
        self.attempts_left = 0 if is_right else self.attempts_left - 1
        return is_right


def create_app(base_url, account, token):
    @asynccontextmanager
    async def lifespan(app):
        async with httpx.AsyncClient(
            base_url=f"{base_url}/account/{account}", headers={"Authorization": f"Bearer {token}"}, timeout=10
        ) as app.state.operator:
            yield

    app = FastAPI(lifespan=lifespan)
    logins: dict[str, Login] = {}
    app.state.calls = calls = {}  # verification_call_uuid -> how the call ended

    @app.post("/login", status_code=status.HTTP_202_ACCEPTED)
    async def login(form: LoginForm):
        code = f"{secrets.randbelow(10_000):04d}"
        try:
            answer = await app.state.operator.post("flash_call", params={"login_did": form.phone, "code": code})
            answer.raise_for_status()
            call = answer.json()["object"]["verification_call_uuid"]
        except (httpx.HTTPError, ValueError):
            raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, "we cannot call you now") from None
        logins[call] = Login(code)
        return {"call": call}

    @app.get("/login/{call}")
    async def look(call: str):
        if call not in logins:
            raise HTTPException(status.HTTP_404_NOT_FOUND)
        return {"state": calls.get(call, "ringing")}

    @app.post("/login/{call}/code")
    async def check_code(call: str, form: CodeForm):
        return {"ok": call in logins and logins[call].accepts(form.code)}

    @app.post("/webhooks/mcn", status_code=status.HTTP_204_NO_CONTENT)
    async def webhook(request: Request):
        try:
            cdr = Cdr.model_validate_json(await request.body())
        except ValidationError:
            raise HTTPException(status.HTTP_400_BAD_REQUEST, "this is not a CDR") from None
        # The record may come before the answer to our own request, so a record without a login is kept too.
        calls[cdr.verification_call_uuid] = cdr.final_status or "UNAVAILABLE"

    return app


app = create_app(
    os.environ.get("MCN_BASE_URL", "https://api.mcn.ru/v2/rest"),
    os.environ.get("MCN_ACCOUNT", ""),
    os.environ.get("MCN_TOKEN", ""),
)
