"""A login by flash call: the number that rings ends in the code."""

import os
import secrets

import requests
from flask import Flask, request, session


def create_app(**config):
    app = Flask(__name__)
    app.secret_key = secrets.token_hex()
    app.config["MCN_BASE_URL"] = os.environ.get("MCN_BASE_URL", "https://api.mcn.ru/v2/rest")
    app.config["MCN_ACCOUNT"] = os.environ.get("MCN_ACCOUNT")
    app.config["MCN_TOKEN"] = os.environ.get("MCN_TOKEN")
    app.config.update(config)
    app.calls = {}  # verification_call_uuid -> how the call ended, once it is known

    @app.post("/login")
    def login():
        session["code"] = f"{secrets.randbelow(10_000):04d}"
        answer = requests.post(
            f"{app.config['MCN_BASE_URL']}/account/{app.config['MCN_ACCOUNT']}/flash_call",
            params={"login_did": request.form["phone"], "code": session["code"]},
            headers={"Authorization": f"Bearer {app.config['MCN_TOKEN']}"},
            timeout=10,
        )
        if answer.status_code != 200:
            return {"error": "we cannot call you now"}, 503
        call = answer.json()["object"]["verification_call_uuid"]
        app.calls.setdefault(call, "ringing")  # unless the webhook was faster
        return {"call": call}

    @app.post("/login/code")
    def check_code():
        return {"ok": secrets.compare_digest(request.form["code"], session.pop("code", ""))}

    @app.post("/webhooks/mcn")
    def webhook():
        cdr = request.get_json()
        app.calls[cdr["verification_call_uuid"]] = cdr.get("final_status", "UNAVAILABLE")
        return "", 204

    return app
