"""The webhook check as pytest tests: a base class."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from pytest_mcn_mock.certificates import read_trust
from pytest_mcn_mock.conformance.cases import Case, choose
from pytest_mcn_mock.conformance.run import Run
from pytest_mcn_mock.conformance.sending import (
    Exchange,
    SocketTransport,
    Transport,
    application_transport,
    application_url,
)
from pytest_mcn_mock.conformance.webhook import DEFAULT_ACCOUNT, DEFAULT_TIMEOUT_S, Form, Webhook, form_of
from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.draws import seed_from_name
from pytest_mcn_mock.model.webhooks import Subscription, make_subscription


class WebhookContract:
    """One test for each case of the webhook check, against the webhook of the fixture ``webhook``.

    Inherit from it and override ``webhook``; override ``before`` to make the calls known to the application and
    ``check`` to look at its state. ``mcn-mock check --list`` lists the cases.
    """

    method: ClassVar[str] = "POST"
    """The subscription's method: POST, or GET with the variables in the query string."""
    data_type: ClassVar[str] = "json"
    """The subscription's data type: json, or text."""
    all_variables: ClassVar[bool] = False
    """Whether the subscription sends the whole event in its envelope."""
    template: ClassVar[str | None] = None
    """The text of the data type text, with ``${{name}}`` for a variable."""
    values: ClassVar[str] = "typed"
    """``typed`` if the values of listed variables keep their types, ``text`` if all are text."""
    headers: ClassVar[Mapping[str, str]] = {}
    """Headers that the subscription sends."""
    account_id: ClassVar[str] = DEFAULT_ACCOUNT
    """The account at the end of the calls' uuids."""
    timeout_s: ClassVar[float] = DEFAULT_TIMEOUT_S
    """The operator's time-out in seconds."""
    cacert: ClassVar[str | None] = None
    """The path of a PEM file of authorities to trust for an https URL, instead of the machine's."""
    insecure: ClassVar[bool] = False
    """Whether any certificate of an https URL is accepted."""
    strict: ClassVar[bool] = False
    """Whether warnings fail the test. A 4xx for an unknown call is a warning."""
    skip: ClassVar[Mapping[str, str]] = {}
    """Cases not to run, by name, each with the reason."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Create one test for each case of the webhook's form."""
        if metafunc.function is not getattr(metafunc.cls, "test_webhook", None):
            return
        try:
            form = form_of(self._subscription("http://localhost/"))
        except UsageError as error:
            pytest.fail(f"{type(self).__name__}: {error}", pytrace=False)
        cases = {case.name: case for case in choose(form) if not case.optional}
        for name in self.skip:
            if name not in cases:
                pytest.fail(f"{type(self).__name__}: skip: {_why_not_run(form, name)}", pytrace=False)
        skipped = {name: [pytest.mark.skip(why)] for name, why in self.skip.items()}
        tests = [pytest.param(case, id=name, marks=skipped.get(name, [])) for name, case in cases.items()]
        metafunc.parametrize("case", tests)

    @pytest.fixture
    def webhook(self) -> Any:
        """The webhook: a URL, or a WSGI or ASGI application and the path, ``(app, "/webhooks/mcn")``."""
        pytest.fail(
            f"{type(self).__name__} must override the fixture webhook: return the webhook's URL, or the application "
            "and the path, such as (app, '/webhooks/mcn')",
            pytrace=False,
        )

    @pytest.fixture
    def webhook_transport(self, webhook: Any) -> Iterator[tuple[str, Transport]]:
        """The webhook's URL, and the transport that sends records there."""
        target, path = webhook if isinstance(webhook, tuple) and len(webhook) == 2 else (webhook, "/")
        transport: Transport
        try:
            if isinstance(target, str):
                url, transport = target, SocketTransport(read_trust(self.cacert, insecure=self.insecure))
            else:
                url, transport = application_url(path), application_transport(target)
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
        """Override it to check the application's state afterwards. An exchange has the ``cdr`` that was sent (None
        if it was not a record) and the ``status`` that came back; they are in the order in which they were sent.
        """

    def test_webhook(
        self, case: Case, webhook_transport: tuple[str, Transport], request: pytest.FixtureRequest
    ) -> None:
        """Check that the endpoint answers correctly, then call ``check``."""
        __tracebackhide__ = True
        url, transport = webhook_transport
        try:
            webhook = Webhook(self._subscription(url), self.account_id, self.timeout_s)
        except UsageError as error:
            pytest.fail(f"{type(self).__name__}: {error}", pytrace=False)
        run = Run(webhook, transport, seed_from_name(request.node.nodeid), time.time)
        verdict = run.check(case, lambda calls: self.before(case, calls))
        told = "\n".join(verdict.lines())
        if verdict.fails(strict=self.strict):
            pytest.fail(told, pytrace=False)
        if verdict.findings:
            warnings.warn(told, stacklevel=1)
        self.check(case, verdict.exchanges)

    def _subscription(self, url: str) -> Subscription:
        return make_subscription(
            url,
            method=self.method,
            headers=self.headers,
            all_variables=self.all_variables,
            data_type=self.data_type,
            template=self.template,
            values=self.values,
        )


def _why_not_run(form: Form, name: str) -> str:
    """Return why there is no test of a case."""
    try:
        choose(form, (name,))
    except UsageError as error:
        return str(error)
    return f"case {name[:40]!r} runs only on the command line, not in pytest"
