"""Replicas behind nginx that are restarted one after the other under load."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from helpers.killed_sandbox import everything
from helpers.nginx import needs_nginx, running_nginx
from helpers.postgres import Cluster
from helpers.replicas import wait_for_deliveries
from helpers.sandbox import Sandbox, running_sandbox, with_webhook
from helpers.webhook_endpoints import Receiver

pytestmark = pytest.mark.soak
REPLICAS, CLIENTS = 3, 4


@needs_nginx
def test_no_order_is_lost_while_each_replica_is_restarted(tmp_path: Path, cluster: Cluster, receiver: Receiver) -> None:
    state = cluster.new_url()

    def start(port: int, stack: ExitStack) -> Sandbox:
        arguments = ("--state", state, "--port", str(port))
        return stack.enter_context(
            running_sandbox(*arguments, config=with_webhook(receiver.url).replace("100.00", "unlimited"))
        )

    with ExitStack() as stack, ThreadPoolExecutor(REPLICAS + CLIENTS) as threads:
        ports = free_ports(REPLICAS)
        replicas = list(threads.map(lambda port: start(port, stack), ports))
        balancer = stack.enter_context(running_nginx(tmp_path, lambda port: balanced(port, ports)))
        is_over = threading.Event()
        placing = [threads.submit(place, f"http://127.0.0.1:{balancer}", is_over) for _ in range(CLIENTS)]
        for number, port in enumerate(ports):
            status, _, log = replicas[number].stop()
            assert (status, "Traceback" in log) == (0, False), log
            replicas[number] = start(port, stack)
        is_over.set()
        answers = [answer for client in placing for answer in client.result()]
        assert {answer.status_code for answer in answers} <= {200, 503}, Counter(a.status_code for a in answers)
        accepted = [
            answer.json()["object"]["verification_call_uuid"] for answer in answers if answer.status_code == 200
        ]
        charged = [entry["verification_call_uuid"] for entry in everything(replicas[0], "accounts/12345678/ledger")]
        assert Counter(charged[1:]) == Counter(accepted)
        assert len(accepted) > CLIENTS
        wait_for_deliveries(replicas[0], len(accepted))
        assert {cdr["verification_call_uuid"] for cdr in receiver.received} == set(accepted)


def place(url: str, is_over: threading.Event) -> list[Any]:
    answers = []
    while not is_over.is_set():
        headers = {"Authorization": "Bearer test-token"}
        path = "/v2/rest/account/12345678/flash_call?login_did=79157777777"
        answers.append(requests.post(url + path, headers=headers, timeout=20))
    return answers


def balanced(port: int, ports: list[int]) -> str:
    # max_fails: a replica that was away is asked again at once, before the next one is restarted.
    servers = "".join(f"server 127.0.0.1:{replica} max_fails=0;" for replica in ports)
    passed = "location / { proxy_pass http://replicas; }"
    return f"upstream replicas {{ {servers} }} server {{ listen 127.0.0.1:{port}; {passed} }}"


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
