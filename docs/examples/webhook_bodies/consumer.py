"""Flash calls and their webhook, as in the vendor's handbook of 2026: with both hosts, and with any of three bodies."""

import json
import os
import re
from urllib.parse import parse_qsl

import requests
from flask import Flask, request


def create_app(**config):
    app = Flask(__name__)
    app.config["MCN_DIALECT"] = os.environ.get("MCN_DIALECT", "paidmethods")
    app.config["MCN_URL"] = os.environ.get("MCN_URL", "https://paidmethods.mcn.ru")
    app.config["MCN_ACCOUNT"] = os.environ.get("MCN_ACCOUNT")  # paidmethods does not ask for it
    app.config["MCN_TOKEN"] = os.environ.get("MCN_TOKEN")
    app.config.update(config)
    app.outcomes = {}  # verification_call_uuid -> how the call ended
    app.events = []  # every event, once
    app.seen = set()

    @app.post("/calls")
    def place():
        return {"call": place_call(app.config, request.form["phone"], request.form["code"])}

    @app.get("/calls/<call>")
    def show(call):
        return {"outcome": app.outcomes.get(call, "ringing")}

    @app.post("/webhooks/mcn")
    def webhook():
        try:
            key, call, outcome = read_event(request.data)
        except ValueError as error:  # anybody can post anything here
            return {"error": str(error)}, 400
        if key not in app.seen:
            app.seen.add(key)
            app.events.append((call, outcome))
            app.outcomes[call] = outcome  # also of a call whose request has not been answered yet
        return "", 204

    return app


def place_call(config, phone, code):
    """Place a flash call; return the uuid by which its event is found."""
    parameters = {"login_did": phone, "code": code}
    headers = {"Authorization": f"Bearer {config['MCN_TOKEN']}"}
    if config["MCN_DIALECT"] == "paidmethods":
        url, sent = f"{config['MCN_URL']}/api/protected/api/auth/flashcall", {"json": parameters}
    else:
        url, sent = f"{config['MCN_URL']}/account/{config['MCN_ACCOUNT']}/flash_call", {"params": parameters}
    answer = requests.post(url, headers=headers, timeout=10, **sent)
    answer.raise_for_status()
    content = answer.json()
    return (content.get("result") or content["object"])["verification_call_uuid"]


def read_event(body):
    """Return an event's key, its call and how the call ended; ValueError if it is not an event.

    The body is a flat JSON object, the whole event in its envelope, or the text of our own template:
    ``verification_call_uuid=${{verification_call_uuid}}&q931_status=${{q931_status}}&final_status=${{final_status}}``.
    The content type of a text is not documented, so it is not looked at.
    """
    text = body.decode()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = dict(parse_qsl(text))
    match content:
        case {"data": dict(data), "idempotencyKey": str(key)}:
            pass
        case dict():
            data, key = content, ""
        case _:
            raise ValueError("this is not an event")
    call, status, final_status = (
        data.get(f"{name}") for name in ("verification_call_uuid", "q931_status", "final_status")
    )
    if not isinstance(call, str) or not re.fullmatch(r"[0-9a-f]{12}_[0-9]{1,15}", call, re.ASCII):
        raise ValueError("this is not the event of a call")
    if isinstance(status, bool) or not re.fullmatch(r"[0-9]{1,3}", str(status), re.ASCII):
        raise ValueError("q931_status is not a number")
    # A flat body has no key: use its content as the key.
    return key or f"{call} {status} {final_status}", call, outcome_of(int(status), final_status)


def outcome_of(q931_status, final_status):
    """Return how a call ended: the table on the page "Flash call — звонки для авторизации, API".

    ``final_status`` is absent, empty or null if the table has none.
    """
    match q931_status, final_status:
        case 16, "ANSWERED":
            return "answered"
        case 16, _:
            return "not answered"
        case 17, _:
            return "busy"
        case 31, _:
            return "rejected"
    return "unavailable"
