"""A fake api.mcn.ru: the telephone API behind flash-call logins, for tests and development.

The names below are the public ones. They are imported when they are first used, because pytest imports this package at
the start of every run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_mcn_mock.conformance.webhook_contract import WebhookContract
    from pytest_mcn_mock.errors import (
        ConfigError,
        McnMockError,
        MistakesError,
        NotFound,
        UsageError,
        WaitTimeout,
        WebhookRaised,
    )
    from pytest_mcn_mock.model.assumptions import (
        Assumptions,
        ErrorStyle,
        MissingFinalStatus,
        NumberFormat,
        PaidMethodsAssumptions,
    )
    from pytest_mcn_mock.model.dialects import Dialect
    from pytest_mcn_mock.model.faults import FaultKind
    from pytest_mcn_mock.model.money import PaidMethodsPrices, Tariff
    from pytest_mcn_mock.model.outcomes import Outcome
    from pytest_mcn_mock.model.requests import ApiRequest
    from pytest_mcn_mock.settings import Settings
    from pytest_mcn_mock.testing.account import Account
    from pytest_mcn_mock.testing.server import MCNServer
    from pytest_mcn_mock.testing.views import Call, Delivery

_MODULES = {
    "Account": "testing.account",
    "ApiRequest": "model.requests",
    "Assumptions": "model.assumptions",
    "Call": "testing.views",
    "ConfigError": "errors",
    "Delivery": "testing.views",
    "Dialect": "model.dialects",
    "ErrorStyle": "model.assumptions",
    "FaultKind": "model.faults",
    "MCNServer": "testing.server",
    "McnMockError": "errors",
    "MissingFinalStatus": "model.assumptions",
    "MistakesError": "errors",
    "NumberFormat": "model.assumptions",
    "Outcome": "model.outcomes",
    "PaidMethodsAssumptions": "model.assumptions",
    "PaidMethodsPrices": "model.money",
    "Settings": "settings",
    "Tariff": "model.money",
    "NotFound": "errors",
    "UsageError": "errors",
    "WaitTimeout": "errors",
    "WebhookContract": "conformance.webhook_contract",
    "WebhookRaised": "errors",
}

__all__ = [
    "Account",
    "ApiRequest",
    "Assumptions",
    "Call",
    "ConfigError",
    "Delivery",
    "Dialect",
    "ErrorStyle",
    "FaultKind",
    "MCNServer",
    "McnMockError",
    "MissingFinalStatus",
    "MistakesError",
    "NotFound",
    "NumberFormat",
    "Outcome",
    "PaidMethodsAssumptions",
    "PaidMethodsPrices",
    "Settings",
    "Tariff",
    "UsageError",
    "WaitTimeout",
    "WebhookContract",
    "WebhookRaised",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
