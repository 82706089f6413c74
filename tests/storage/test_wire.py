"""Statements to PostgreSQL that are sent together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
from helpers.postgres import Cluster
from sqlalchemy import BigInteger, Boolean, Column, Float, MetaData, Table, Text, bindparam, func, insert, select

from pytest_mcn_mock.storage.wire import Wire

things = Table(
    "things",
    MetaData(),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("word", Text),
    Column("share", Float(53)),
    Column("is_good", Boolean),
)
INSERT = insert(things)
READ = select(things).order_by(things.c.id)
READ_SOME = READ.where(things.c.id.in_(bindparam("ids", expanding=True)))
CREATE = "CREATE TEMPORARY TABLE things (id bigint PRIMARY KEY, word text, share float8, is_good boolean)"


def row(number: int, word: str | None = "a word") -> dict[str, Any]:
    return {"id": number, "word": word, "share": 0.1, "is_good": True}


@pytest.fixture
def run(cluster: Cluster) -> Callable[[Callable[[psycopg.AsyncConnection[Any]], Awaitable[None]]], None]:
    """Run a test with a connection on which there is the table."""

    async def body(test: Callable[[psycopg.AsyncConnection[Any]], Awaitable[None]]) -> None:
        async with await psycopg.AsyncConnection.connect(cluster.url("postgres"), autocommit=True) as connection:
            await connection.execute(CREATE)
            await test(connection)

    return lambda test: asyncio.run(body(test))


Run = Callable[[Callable[[psycopg.AsyncConnection[Any]], Awaitable[None]]], None]


def test_values_come_back_as_they_were(run: Run) -> None:
    values = [
        row(1),
        {"id": -(2**62), "word": None, "share": None, "is_good": None},
        {"id": 3, "word": "'; DROP\n\\x юникод 😀", "share": 1700000000.123456, "is_good": False},
        {"id": 4, "word": "", "share": -1e-300, "is_good": True},
    ]

    async def test(connection: psycopg.AsyncConnection[Any]) -> None:
        wire = Wire(connection)
        for value in values:
            wire.send(INSERT, value)
        (found,) = await wire.rows((READ, {}))
        assert [each._asdict() for each in found] == sorted(values, key=lambda value: value["id"])
        for ids in ([1], [1, 3], [], [4]):
            assert [each.id for each in (await wire.rows((READ_SOME, {"ids": ids})))[0]] == ids
        ids_query = select(func.array(select(things.c.id).order_by(things.c.id).scalar_subquery()))
        ((numbers,), (first, *_)) = await wire.rows((ids_query, {}), (READ, {}), last=b"SELECT 1")
        assert first.id == -(2**62)
        assert numbers[0] == [-(2**62), 1, 3, 4]
        await wire.end()

    run(test)


def test_text_with_a_nul_is_refused_and_not_cut(run: Run) -> None:
    async def test(connection: psycopg.AsyncConnection[Any]) -> None:
        wire = Wire(connection)
        with pytest.raises(psycopg.DataError):
            wire.send(INSERT, row(1, "half\0other half"))

    run(test)


def test_a_statement_that_fails_undoes_what_was_sent_with_it_and_the_connection_goes_on(run: Run) -> None:
    async def test(connection: psycopg.AsyncConnection[Any]) -> None:
        wire = Wire(connection)
        for number in (1, 1, 2):
            wire.send(INSERT, row(number))
        with pytest.raises(psycopg.errors.UniqueViolation):
            await wire.rows((READ, {}))  # which is prepared behind the failure, so that it is not prepared
        assert await wire.rows((READ, {})) == [[]]
        await wire.end()
        await connection.execute("SELECT 1")  # psycopg's own way works too

    run(test)


def test_more_than_a_socket_takes_at_once_is_sent(run: Run) -> None:
    async def test(connection: psycopg.AsyncConnection[Any]) -> None:
        wire = Wire(connection)
        for number in range(40):
            wire.send(INSERT, row(number, "x" * 500_000))
        (found,) = await wire.rows((READ, {}))
        assert [len(each.word) for each in found] == [500_000] * 40
        await wire.end()

    run(test)


def test_a_connection_that_the_server_ends_is_an_error_at_once(run: Run, cluster: Cluster) -> None:
    async def test(connection: psycopg.AsyncConnection[Any]) -> None:
        wire = Wire(connection)
        with psycopg.connect(cluster.url("postgres")) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        for _ in range(2):
            with pytest.raises(psycopg.OperationalError):
                await wire.rows((READ, {}))

    run(test)
