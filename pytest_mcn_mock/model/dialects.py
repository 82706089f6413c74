"""The names of the dialects: the forms of the vendor's API that the fake speaks."""

from __future__ import annotations

from enum import StrEnum


class Dialect(StrEnum):
    """A form of the vendor's API. ``web/dialects`` has a module for each."""

    API_MCN = "api_mcn"
    """The article's, of api.mcn.ru."""
    PAIDMETHODS = "paidmethods"
    """The handbook's of 2026, of paidmethods.mcn.ru: "Flash call — звонки для авторизации, API", 12 August 2026."""
