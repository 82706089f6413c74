"""A mock of flash_call as one writes it by hand on Flask, on Flask's own server: ``python flask_mock.py PORT``."""

from __future__ import annotations

import logging
import sys

from answering import answer
from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue

app = Flask(__name__)


@app.post("/v2/rest/account/<account>/flash_call")
def flash_call(account: str) -> ResponseReturnValue:
    """Answer an order."""
    status, content = answer(
        account, request.headers.get("Authorization"), request.args.get("login_did", ""), request.args.get("code")
    )
    return jsonify(content), status


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
