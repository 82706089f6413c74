"""``mcn-mock listen``: a webhook receiver to try with."""

from __future__ import annotations

import click

from pytest_mcn_mock.cli.client import json_option


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True,
    help="The port to listen on; 0 takes a free one.",
)  # fmt: skip
@click.option(
    "--status", type=click.IntRange(200, 599), default=200, show_default=True,
    help="The HTTP status of every answer; the operator takes any 2xx as an acknowledgement.",
)  # fmt: skip
@click.option(
    "--delay", type=click.FloatRange(0, 600), default=0.0, show_default=True,
    help="The seconds before each answer.",
)  # fmt: skip
@json_option
def listen(host: str, port: int, status: int, delay: float, *, as_json: bool) -> None:
    """Receive webhooks and print each CDR.

    Every path takes every method. Ctrl-C ends it.
    """
    import asyncio

    from pytest_mcn_mock.cli.receiver import receive

    asyncio.run(receive(host, port, status=status, delay_s=delay, as_json=as_json))
