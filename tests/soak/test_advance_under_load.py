"""The clock is put forward while calls keep coming: ``make soak``."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
import requests
from helpers.load import Talk, answer, order
from helpers.sandbox import running_sandbox

pytestmark = pytest.mark.soak
CLIENTS, AHEAD, ADVANCES, WEBHOOK_S = 6, 200, 30, 0.1
PATIENCE_S = 15.0
"""How long an advance may take. It used to take until the clients paused."""
CONFIG = """
[[account]]
id = 1
token = "t"
balance = "100000.00"
[[account.webhook]]
url = "http://127.0.0.1:{port}/"
{rule}
"""


class SlowTalk(Talk):
    """An endpoint's side of a connection, which takes its time to answer."""

    def data_received(self, data: bytes) -> None:
        asyncio.get_running_loop().call_later(WEBHOOK_S, super().data_received, data)


@pytest.mark.parametrize("delay_s", [None, 0.3, 30], ids=["ended at once", "ringing", "ringing for long"])
def test_an_advance_is_answered_while_calls_keep_coming(
    capsys: pytest.CaptureFixture[str], delay_s: float | None
) -> None:
    rule = "" if delay_s is None else f'[[account.outcome]]\noutcome = "busy"\ndelay_s = {delay_s}'
    placed, acknowledged, idle = set[str](), set[str](), list[Talk]()
    stopped = False

    def receive(_: bytes, body: bytes) -> bytes:
        acknowledged.add(json.loads(body)["verification_call_uuid"])
        if idle and not stopped:
            idle.pop().send(order(1, "t"))
        return answer(204)

    def client() -> Talk:
        """It places a call as soon as it has the answer to the last one, unless the webhook is far behind."""

        def answered(head: bytes, body: bytes) -> bytes:
            assert head.startswith(b"http/1.1 200"), body
            placed.add(json.loads(body)["object"]["verification_call_uuid"])
            if not stopped and len(placed) - len(acknowledged) < AHEAD:
                return order(1, "t")
            idle.append(talk)
            return b""

        talk = Talk(answered, order(1, "t"))
        return talk

    async def run() -> list[float]:
        nonlocal stopped
        loop = asyncio.get_running_loop()
        receiver = await loop.create_server(lambda: SlowTalk(receive), "127.0.0.1", 0)
        port_of_webhook = receiver.sockets[0].getsockname()[1]
        config = CONFIG.format(port=port_of_webhook, rule=rule)
        took: list[float] = []
        with running_sandbox("--log-level", "error", config=config) as sandbox:
            host, _, port = sandbox.url.removeprefix("http://").partition(":")
            for _ in range(CLIENTS):
                await loop.create_connection(client, host, int(port))
            url = f"{sandbox.url}/__admin/clock/advance"
            for _ in range(ADVANCES):
                began = time.monotonic()
                advanced = await asyncio.to_thread(requests.post, url, json={"seconds": 1}, timeout=PATIENCE_S)
                assert advanced.status_code == 200, advanced.text
                took.append(time.monotonic() - began)
            stopped = True
            await asyncio.to_thread(requests.post, url, json={"seconds": 60}, timeout=600)
            sandbox.stop()
        receiver.close()
        return took

    took = asyncio.run(run())
    assert acknowledged == placed
    with capsys.disabled():
        print(f"\n{len(placed)} calls meanwhile; {ADVANCES} advances took {min(took):.2f} to {max(took):.2f} s")
