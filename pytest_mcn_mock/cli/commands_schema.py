"""``mcn-mock schema``: the JSON Schemas and the OpenAPI description, for tools in any language."""

from __future__ import annotations

import click

from pytest_mcn_mock import schemas
from pytest_mcn_mock.errors import NotFound


@click.command()
@click.argument("name", required=False)
def schema(name: str | None) -> None:
    """Print a JSON Schema, or openapi; the list of their names without NAME."""
    if name is None:
        click.echo("\n".join(schemas.names()))
        return
    try:
        click.echo(schemas.read(name).decode(), nl=False)  # bytes would go round the guarded stream
    except NotFound as error:
        click.echo(f"mcn-mock: {error}", err=True)
        raise SystemExit(2) from None
