"""The greeting that the sandbox prints at its start: its address, commands to paste, its page, data for a client."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from msgspec import Struct

from pytest_mcn_mock.cli.config import Config
from pytest_mcn_mock.cli.tls import Tls
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.money import Method, format_roubles
from pytest_mcn_mock.model.numbering import EXAMPLE_NUMBER, RUSSIA
from pytest_mcn_mock.service.ports import AccountState
from pytest_mcn_mock.web.dialects import API_MCN, PAIDMETHODS
from pytest_mcn_mock.web.guard import ADMIN_PATH

PUBLIC_TOKEN = "test-token"  # noqa: S105 - the token of the documentation
"""The only token that is printed. All others are secret, and printed text is kept in logs."""
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked, not listened on
_TOP_UP = 100_00
"""The suggested top-up of an account without money, in kopecks."""


def reachable(host: str) -> str:
    """Return an address at which a server that listens on ``host`` is reached from this machine."""
    return _EVERYWHERE.get(host, host)


def greeting(
    config: Config, accounts: Sequence[AccountState], port: int, tls: Tls | None, drawn: str | None = None
) -> str:
    """Return the lines, each with its end. The first has the URL, the last begins with ``base URL``.

    ``accounts`` are the configured ones that are open, or the first one that is if none of these are. ``drawn`` is the
    admin token if it was drawn for this start, so that nobody knows it yet.
    """
    banner = _Banner(_url(config.host, port, tls), tls, config, drawn)
    payer = next(filter(_can_pay, accounts), accounts[0] if accounts else None)
    balances = {
        account.id: "unlimited" if account.unlimited else f"{format_roubles(balance)} roubles"
        for account, balance in accounts
    }
    names = ", ".join(f"{account.id} ({balances.get(account.id, 'closed')})" for account in config.accounts[:5])
    more = f" and {len(config.accounts) - 5} more" if len(config.accounts) > 5 else ""
    everywhere = f" and on every other address of this machine ({config.host})" if config.host in _EVERYWHERE else ""
    lines = [
        f"mcn-mock listens on {banner.url}{API_MCN.base_path}{everywhere} for account {names}{more}",
        *(banner.commands(*payer) if payer else banner.without_account()),
        *([] if drawn is None else [f"admin token, for everything under {ADMIN_PATH}: {drawn}"]),
        f"page: {page_url(config.host, port, tls)}",
        f"paid URL {banner.url}{PAIDMETHODS.base_path}, for {PAIDMETHODS.vendor_url}",
        f"base URL {banner.url}{API_MCN.base_path}{banner.credentials(payer.account if payer else None)}",
    ]
    return "".join(f"{line}\n" for line in lines)


class _Banner(Struct, frozen=True):
    url: str
    tls: Tls | None
    config: Config
    drawn: str | None

    def commands(self, account: Account, balance: int) -> list[str]:
        """Return a flash_call and a call_for_2fa that are accepted, or how to make them so."""
        token = account.token if account.token == PUBLIC_TOKEN else "$TOKEN"
        authorization = f"Authorization: Bearer {token}"
        curl = (
            f"curl {self._trust}-X POST -H 'Content-Type: application/json' -H 'Accept: application/json' "
            f"-H {_quoted(authorization)} '{self.url}"
        )

        def too_poor(price: int) -> str:
            amount = format_roubles(max(_TOP_UP, price - balance - account.credit))
            return (
                f"account {account.id} has {format_roubles(balance)} roubles, too few for a call; give it more: "
                f"{self._mcn_mock} accounts top-up {account.id} {amount}"
            )

        flash_call = f"{curl}{API_MCN.path(Method.FLASH_CALL, account.id)}?login_did={EXAMPLE_NUMBER}'"
        price = account.tariff.price(Method.FLASH_CALL, RUSSIA)
        if not account.can_pay(price, balance):
            flash_call = too_poor(price)
        price = account.tariff.price(Method.CALL_FOR_2FA, None)
        if not account.numbers:
            for_2fa = f"call_for_2fa needs a number that is connected to account {account.id}, and it has none"
        elif not account.can_pay(price, balance):
            for_2fa = too_poor(price)
        else:
            path = API_MCN.path(Method.CALL_FOR_2FA, account.id)
            for_2fa = f"{curl}{path}?caller_did={account.numbers[0]}&login_did={EXAMPLE_NUMBER}'"
        return [flash_call, for_2fa]

    def without_account(self) -> list[str]:
        """How to open an account, as none is open."""
        return [f"no account is open; open one: {self._mcn_mock} accounts open --number 79158888888"]

    def credentials(self, account: Account | None) -> str:
        """Return the account that the commands use, and its token or the place of the token."""
        if account is None:
            return ""
        if account.token == PUBLIC_TOKEN:
            return f", account {account.id}, token {PUBLIC_TOKEN}"
        is_configured = any(account.token == configured.token for configured in self.config.accounts)
        where = f"is in {self.config.source}" if is_configured else "was shown when the account was opened"
        return f", account {account.id}; its token {where}: export TOKEN=…"

    @property
    def _mcn_mock(self) -> str:
        authority = "" if self.tls is None or self.tls.authority is None else f"MCN_MOCK_CACERT={self._authority} "
        admin = "" if self.config.admin_token is None else f'MCN_MOCK_ADMIN_TOKEN="{self.drawn or "$ADMIN_TOKEN"}" '
        return f"{authority}{admin}MCN_MOCK_URL={self.url} mcn-mock"

    @property
    def _trust(self) -> str:
        return "" if self.tls is None or self.tls.authority is None else f"--cacert {self._authority} "

    @property
    def _authority(self) -> str:
        return shlex.quote(str(self.tls.authority)) if self.tls is not None else ""


def page_url(host: str, port: int, tls: Tls | None) -> str:
    """Return the address of the monitoring page, for a browser on this machine."""
    return f"{_url(host, port, tls)}{ADMIN_PATH}/"


def _url(host: str, port: int, tls: Tls | None) -> str:
    shown = reachable(host)
    return f"{'http' if tls is None else 'https'}://{f'[{shown}]' if ':' in shown else shown}:{port}"


def _can_pay(state: AccountState) -> bool:
    """Return whether the account can pay a flash_call."""
    return state.account.can_pay(state.account.tariff.price(Method.FLASH_CALL, RUSSIA), state.balance)


def _quoted(text: str) -> str:
    """Return the text in the shell's quotes; in double quotes if the shell must fill in a variable."""
    return f'"{text}"' if "$" in text else f"'{text}'"
