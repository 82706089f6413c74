"""A login by flash call: the number that rings ends in the code."""

import json
import os
import secrets
import time

import requests
from flask import Flask, request


def create_app(**config):
    app = Flask(__name__)
    app.config["MCN_BASE_URL"] = os.environ.get("MCN_BASE_URL", "https://api.mcn.ru/v2/rest")
    app.config["MCN_ACCOUNT"] = os.environ.get("MCN_ACCOUNT")
    app.config["MCN_TOKEN"] = os.environ.get("MCN_TOKEN")
    app.config["CODE_LIVES_S"] = 300
    app.config.update(config)
    app.codes = {}  # verification_call_uuid -> the code and when it was sent
    app.calls = {}  # verification_call_uuid -> how the call ended, once it is known

    @app.post("/login")
    def login():
        code = f"{secrets.randbelow(10_000):04d}"
        answer = requests.post(
            f"{app.config['MCN_BASE_URL']}/account/{app.config['MCN_ACCOUNT']}/flash_call",
            params={"login_did": request.form["phone"], "code": code},
            headers={
                "Authorization": f"Bearer {app.config['MCN_TOKEN']}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
            timeout=10,
        )
        answer.raise_for_status()
        call = answer.json()["object"]["verification_call_uuid"]
        app.codes[call] = code, time.monotonic()
        app.calls.setdefault(call, "ringing")  # unless the webhook was faster
        return {"call": call}

    @app.errorhandler(requests.RequestException)
    def no_call(error):
        return {"error": "we cannot call you now"}, 503

    @app.post("/login/code")
    def check_code():
        code, sent_at = app.codes.pop(request.form["call"], (None, 0))  # one attempt
        if code is None or time.monotonic() - sent_at > app.config["CODE_LIVES_S"]:
            return {"ok": False}
        return {"ok": secrets.compare_digest(request.form["code"].encode(), code.encode())}

    @app.post("/webhooks/mcn")
    def webhook():
        try:
            cdr = json.loads(request.data)
        except (ValueError, RecursionError):  # anybody can post anything here
            cdr = None
        match cdr:
            case {"verification_call_uuid": str(call)}:
                app.calls[call] = cdr.get("final_status") or "UNAVAILABLE"
                return "", 204
        return {"error": "this is not a CDR"}, 400

    return app
