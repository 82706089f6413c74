"""The dialects. Each form of the vendor's API is one module with one table; no other module names a path or a host."""

from __future__ import annotations

from typing import Final

from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.web.dialects.api_mcn import API_MCN
from pytest_mcn_mock.web.dialects.paidmethods import PAIDMETHODS
from pytest_mcn_mock.web.dialects.table import DialectTable

__all__ = ["API_MCN", "DIALECTS", "HOSTS", "PAIDMETHODS", "table_of"]

DIALECTS: Final = (API_MCN, PAIDMETHODS)
"""Every dialect that the fake speaks; the first is the article's."""
HOSTS: Final = tuple(host for dialect in DIALECTS for host in dialect.hosts)
"""Every host at which the vendor serves a dialect."""


def table_of(dialect: Dialect) -> DialectTable:
    """Return the table of a dialect."""
    return next(table for table in DIALECTS if table.name is dialect)
