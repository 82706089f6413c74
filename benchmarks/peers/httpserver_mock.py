"""A mock of flash_call as one writes it by hand on pytest-httpserver: ``python httpserver_mock.py PORT``."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading

from answering import answer
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

PATH = re.compile(r"/v2/rest/account/(\d+)/flash_call")


def flash_call(request: Request) -> Response:
    """Answer an order."""
    status, content = answer(
        request.path.split("/")[4],
        request.headers.get("Authorization"),
        request.args.get("login_did", ""),
        request.args.get("code"),
    )
    return Response(json.dumps(content), status, content_type="application/json")


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with HTTPServer("127.0.0.1", int(sys.argv[1]), threaded=True) as server:
        server.expect_request(PATH, method="POST").respond_with_handler(flash_call)
        threading.Event().wait()
