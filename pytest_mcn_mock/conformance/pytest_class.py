"""The contract as tests of pytest: a class to inherit from."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from pytest_mcn_mock.certificates import read_trust
from pytest_mcn_mock.conformance.applications import make_transport, url_of
from pytest_mcn_mock.conformance.cases import Case
from pytest_mcn_mock.conformance.catalogue import BARE, ORDINARY, choose
from pytest_mcn_mock.conformance.exchanges import Exchange, Transport
from pytest_mcn_mock.conformance.judge import judge
from pytest_mcn_mock.conformance.messages import Writer
from pytest_mcn_mock.conformance.reports import fails, lines
from pytest_mcn_mock.conformance.run import deliver, is_served
from pytest_mcn_mock.conformance.sockets import SocketTransport
from pytest_mcn_mock.conformance.webhook import DEFAULT_ACCOUNT, DEFAULT_TEMPLATE, DEFAULT_TIMEOUT_S, Webhook, form_of
from pytest_mcn_mock.errors import UsageError, nearest
from pytest_mcn_mock.model.deliveries import is_acknowledgement
from pytest_mcn_mock.model.draws import seed_from_name


class WebhookContract:
    """A test for each case of the contract, against the webhook that the fixture ``webhook`` names.

    Inherit from it and override ``webhook``; override ``before`` to make the calls known to the application and
    ``check`` to look at its state. ``mcn-mock check --list`` tells the cases.
    """

    method: ClassVar[str] = "POST"
    """The subscription's method: POST, or GET with the variables in the query string."""
    data_type: ClassVar[str] = "json"
    """The subscription's data type: json, or text."""
    template: ClassVar[str] = DEFAULT_TEMPLATE
    """The free text of the data type text, with ``{name}`` for a variable."""
    headers: ClassVar[Mapping[str, str]] = {}
    """Headers that the subscription sends."""
    account_id: ClassVar[str] = DEFAULT_ACCOUNT
    """The account that ends the calls' uuids."""
    timeout_s: ClassVar[float] = DEFAULT_TIMEOUT_S
    """The operator's time-out in seconds."""
    cacert: ClassVar[str | None] = None
    """The path of a PEM file of authorities to trust for an https URL, in place of the machine's."""
    insecure: ClassVar[bool] = False
    """Whether any certificate of an https URL is accepted."""
    strict: ClassVar[bool] = False
    """Whether warnings fail: a 4xx for a call that the application does not know is one."""
    skip: ClassVar[Mapping[str, str]] = {}
    """Cases not to run, by name, each with the reason."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make a test of each case of the webhook's form."""
        if metafunc.function is not getattr(metafunc.cls, "test_webhook", None):
            return
        try:
            form = form_of(self.method, self.data_type)
        except UsageError as error:
            pytest.fail(f"{type(self).__name__}: {error}", pytrace=False)
        cases = [case for case in choose(form) if not case.optional]
        names = [case.name for case in cases]
        for name in self.skip:
            if name not in names:
                pytest.fail(
                    f"{type(self).__name__}: skip: no case is called {name!r}; {nearest(name, names)}", pytrace=False
                )
        marked = [
            pytest.param(
                case, id=case.name, marks=[pytest.mark.skip(self.skip[case.name])] if case.name in self.skip else []
            )
            for case in cases
        ]
        metafunc.parametrize("case", marked)

    @pytest.fixture
    def webhook(self) -> Any:
        """Where the records go: a URL, or a WSGI or ASGI application with the path, ``(app, "/webhooks/mcn")``."""
        pytest.fail(
            f"{type(self).__name__} has to override the fixture webhook: let it return the webhook's URL, or the "
            "application and the path, such as (app, '/webhooks/mcn')",
            pytrace=False,
        )

    @pytest.fixture
    def webhook_transport(self, webhook: Any) -> Iterator[tuple[str, Transport]]:
        """The webhook's URL, and what brings records there."""
        target, path = webhook if isinstance(webhook, tuple) and len(webhook) == 2 else (webhook, "/")
        transport: Transport
        try:
            if isinstance(target, str):
                url, transport = target, SocketTransport(read_trust(self.cacert, insecure=self.insecure))
            else:
                url, transport = url_of(path), make_transport(target)
        except UsageError as error:
            pytest.fail(f"the fixture webhook: {error}", pytrace=False)
        try:
            yield url, transport
        finally:
            transport.close()

    def before(self, case: Case, calls: Sequence[str]) -> None:
        """Override it to prepare the application's state. ``calls`` are the ``verification_call_uuid`` of the calls
        that it should know; those that it cannot know are not among them.
        """

    def check(self, case: Case, exchanges: Sequence[Exchange]) -> None:
        """Override it to look at the application's state afterwards. An exchange has the ``cdr`` that was sent (None
        where it was no record) and the ``status`` that came back; they are in the order in which they were sent.
        """

    def test_webhook(
        self, case: Case, webhook_transport: tuple[str, Transport], request: pytest.FixtureRequest
    ) -> None:
        """The endpoint does what is sound, and the application's state is what ``check`` says."""
        __tracebackhide__ = True
        url, transport = webhook_transport
        try:
            webhook = Webhook(
                url,
                form=form_of(self.method, self.data_type),
                headers=self.headers,
                account_id=self.account_id,
                template=self.template,
                timeout_s=self.timeout_s,
            )
        except UsageError as error:
            pytest.fail(f"{type(self).__name__}: {error}", pytrace=False)
        writer = Writer(webhook, seed=seed_from_name(request.node.nodeid), now=time.time())
        rounds = case.write(writer)
        self.before(case, tuple(writer.known))
        exchanges = deliver(case, rounds, transport, self.timeout_s)
        is_lenient = is_served(webhook, transport, {exchange.status for exchange in exchanges})

        def without_final_status() -> str | None:
            answers = [deliver(other, other.write(writer), transport, self.timeout_s)[0] for other in (ORDINARY, BARE)]
            return answers[1].shown if is_acknowledgement(answers[0].status or 0) else None

        verdict = judge(
            case,
            exchanges,
            timeout_s=self.timeout_s,
            is_lenient=is_lenient,
            without_final_status=without_final_status,
        )
        told = "\n".join(lines(verdict))
        if fails(verdict, strict=self.strict):
            pytest.fail(told, pytrace=False)
        if verdict.findings:
            warnings.warn(told, stacklevel=1)
        self.check(case, exchanges)
