"""The JSON of the admin API: every field that it shows or takes, written once.

Answers are encoded from these types, and ``web/decoding.py`` reads bodies into them. ``make schemas`` writes their JSON
Schemas: the first line of a docstring is the title, and the rest is the description. ``_common`` names a definition in
``schemas/common.schema.json``, which has the conditions that a type cannot express.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.model.accounts import MAX_NUMBERS, MAX_RULES, MAX_SUBSCRIPTIONS, Account
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.cdr import Condition, FilterOperator, make_condition
from pytest_mcn_mock.model.checks import MAX_URL_LENGTH
from pytest_mcn_mock.model.deliveries import SENT_HEADERS, Attempt, CdrRequest, CdrResponse, Delivery, DeliveryState
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.faults import MAX_TIMES, Fault, FaultKind
from pytest_mcn_mock.model.mistakes import Mistake, MistakeCode
from pytest_mcn_mock.model.money import Entry, EntryKind, Method, Tariff, format_roubles
from pytest_mcn_mock.model.numbering import KAZAKHSTAN, RUSSIA, SLOVAKIA
from pytest_mcn_mock.model.outcomes import Outcome, OutcomeRule
from pytest_mcn_mock.model.requests import ApiRequest
from pytest_mcn_mock.model.webhooks import (
    MAX_CONDITIONS,
    MAX_FIELDS,
    MAX_TEMPLATE,
    DataType,
    Subscription,
    Values,
    WebhookMethod,
)
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.service.deliveries import Preview
from pytest_mcn_mock.service.ports import Tally

MASK: Final = "***"
"""In place of a value that may be a secret."""
MAX_SHOWN: Final = 4096
"""Characters of a webhook's request or answer that are shown."""
MAX_PREVIEWED: Final = 65_536
"""Characters of the body in a preview."""
MAX_ADVANCE_S: Final = 31_536_000
"""A year."""


def _is(text: str) -> Meta:
    """The description of a field."""
    return Meta(description=text)


def _common(name: str) -> Meta:
    return Meta(extra_json_schema={"$ref": f"common.schema.json#/$defs/{name}"})


Id = Annotated[int, _common("id")]
Token = Annotated[str, _common("token")]
Seed = Annotated[int, _common("seed")]
Name = Annotated[str, _common("name")]
Number = Annotated[str, _common("number")]
Uuid = Annotated[str, _common("verification_call_uuid")]
Cause = Annotated[int, _common("q931_status")]
Seconds = Annotated[float, _common("seconds")]
Roubles = Annotated[str, _common("roubles")]
BalanceGiven = Annotated[str | int, _common("balance_given")]
CreditGiven = Annotated[str | int, _common("credit_given")]
Time = Annotated[str, _common("time")]
Fields = Annotated[dict[str, str], _common("fields")]
Cdr = Annotated[dict[str, Any], Meta(extra_json_schema={"$ref": "cdr.schema.json#/$defs/record"})]
Variables = Annotated[list[Annotated[str, _common("variable")]], Meta(max_length=MAX_FIELDS)]
Count = Annotated[int, Meta(ge=1)]
Total = Annotated[int, Meta(ge=0)]


class EndingJson(Struct, kw_only=True):
    """How to end a ringing call.

    Or an empty object: as planned.
    """

    rule: ClassVar = "ending_or_none_given"

    outcome: Annotated[Outcome | None, _is("How the call ends.")] = None
    q931_status: Annotated[Cause | None, _is("The same by its Q.850 cause.")] = None


class RuleGivenJson(EndingJson, kw_only=True):
    """An outcome rule to set.

    It has outcome or q931_status, or both if they say the same.
    """

    rule: ClassVar = "ending_given"

    login_did: Annotated[
        Annotated[str, Meta(pattern="^[0-9*?]{1,40}$")] | None,
        _is("A pattern: digits, * for any and ? for one. * if not given."),
    ] = None
    delay_s: Annotated[Seconds | None, _is("Seconds between the answer and the end of the call.")] = None


class RuleJson(Struct, kw_only=True):
    """An outcome rule.

    How calls end to a number that fits.
    """

    login_did: Annotated[
        str, Meta(pattern="^[0-9*?]{1,40}$", description="A pattern: digits, * for any and ? for one.")
    ]
    outcome: Outcome
    q931_status: Cause
    delay_s: Annotated[
        Seconds | None,
        _is("Seconds between the answer and the end of the call; null leaves the server's delay."),
    ]

    @classmethod
    def of(cls, rule: OutcomeRule) -> Self:
        """Show a rule."""
        how = rule.ending
        return cls(login_did=rule.login_did, outcome=how.outcome, q931_status=how.q931_status, delay_s=rule.delay_s)


class FaultJson(Struct, kw_only=True):
    """A fault.

    An error on purpose. In a request, a fault without times strikes once, and with times null every time.
    """

    rule: ClassVar = "fault_given"

    kind: Annotated[FaultKind, _is("The kind of fault. docs/how-to/faults.md explains each.")]
    times: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_TIMES)] | None,
        _is("How many requests, or CDRs, it still alters; null for every one."),
    ] = 1
    probability: Annotated[float, Meta(gt=0, le=1, description="The chance for each one.")] = 1.0
    status: Annotated[int, Meta(ge=500, le=599, description="The HTTP status of a server error.")] = 503
    delay_s: Annotated[Seconds, _is("Seconds by which it is late.")] = 0.0
    jitter_s: Annotated[Seconds, _is("Up to so many seconds more.")] = 0.0
    accepted: Annotated[bool, _is("Whether an altered request is accepted, and charged, all the same.")] = True

    @classmethod
    def of(cls, fault: Fault) -> Self:
        """Show a fault."""
        return cls(**msgspec.structs.asdict(fault))

    def read(self) -> Fault:
        """Return the fault; raise UsageError if a value is not valid."""
        return Fault(**msgspec.structs.asdict(self))


class ConditionJson(Struct, kw_only=True, rename={"is_negated": "not"}):
    """A condition of a webhook's filter.

    Values are compared as text.
    """

    variable: Annotated[str, _common("variable")]
    operator: Annotated[FilterOperator, _is("equals, or in: one of a list.")] = FilterOperator.EQUALS
    value: Annotated[str | int | bool | list[str | int | bool], _is("The value; a list for in.")]
    is_negated: Annotated[bool, _is("Whether the condition is negated.")] = False

    @classmethod
    def of(cls, condition: Condition) -> Self:
        """Show a condition."""
        value = list(condition.value) if isinstance(condition.value, tuple) else condition.value
        return cls(
            variable=condition.variable, operator=condition.operator, value=value, is_negated=condition.is_negated
        )

    def read(self) -> Condition:
        """Return the condition; raise UsageError if it is not valid."""
        return make_condition(
            {"variable": self.variable, "operator": self.operator, "value": self.value, "not": self.is_negated}
        )


class WebhookGivenJson(Struct, kw_only=True):
    """A webhook to add.

    The settings of the vendor's form.
    """

    url: Annotated[str, _common("url_given"), _is("The URL for CDRs: http or https.")]
    body: Annotated[
        Variables | None,
        _is("The variables of the CDR, in their order; the three of the article if not given."),
    ] = None
    method: Annotated[WebhookMethod, _is("POST with a JSON body, or GET with the variables in the query string.")] = (
        WebhookMethod.POST
    )
    headers: Annotated[dict[str, Any], _common("headers_given"), _is("Headers of the request.")] = {}
    query: Annotated[dict[str, Any], _common("fields"), _is("Parameters added to the URL.")] = {}
    constants: Annotated[dict[str, Any], _common("constants_given"), _is("Constants added to the variables.")] = {}
    retry: Annotated[bool, _is('"Retry on error": whether a CDR that is not acknowledged is sent again.')] = True
    all_variables: Annotated[
        bool, _is("Whether the whole event is sent in its envelope, in place of the variables of body.")
    ] = False
    data_type: Annotated[DataType, _is("json, or text: the template.")] = DataType.JSON
    template: Annotated[
        Annotated[str, Meta(max_length=MAX_TEMPLATE)] | None,
        _is("The body for data_type text, with ${{name}} for a variable; null for json."),
    ] = None
    values: Annotated[Values, _is("Whether the values of body and constants keep their types, or are all text.")] = (
        Values.TYPED
    )
    ignore_response: Annotated[bool, _is("Whether a CDR counts as delivered, whatever the endpoint answers.")] = False
    filter: Annotated[
        list[ConditionJson],
        Meta(max_length=MAX_CONDITIONS, description="Conditions: a CDR is sent only if all of them hold."),
    ] = []
    cacert: Annotated[
        Annotated[str, Meta(max_length=4096)] | None,
        _is(
            "The path, on the server's machine, of a PEM file of authorities that an https endpoint's certificate is "
            "trusted by, in place of the machine's own. It is read when it is given. Empty for none."
        ),
    ] = None
    insecure: Annotated[bool, _is("Whether any certificate of an https endpoint is accepted. Not with cacert.")] = False
    enabled: Annotated[bool, _is("Whether CDRs are sent to it.")] = True


class PreviewedWebhookJson(WebhookGivenJson, kw_only=True):
    """A webhook to preview.

    The fields are those of a webhook to add. It is not added.
    """

    rule: ClassVar = EndingJson.rule

    outcome: Annotated[Outcome | None, _is("How the call ends; as it did if not given.")] = None
    q931_status: Annotated[Cause | None, _is("The same by its Q.850 cause.")] = None


class WebhookJson(WebhookGivenJson, kw_only=True):
    """A webhook.

    A subscription of an account to the event "Flash call". The values of its headers are masked: ***.
    """

    n: Annotated[Count, _is("Numbers the account's subscriptions from 1.")]
    url: Annotated[str, Meta(min_length=1, max_length=MAX_URL_LENGTH, description="The URL for CDRs: http or https.")]
    body: Annotated[Variables, _is("The variables of the CDR, in their order.")]
    failed_in_a_row: Annotated[int, Meta(ge=0, description="CDRs failed since the last that was acknowledged.")]
    disabled_at: Annotated[
        Time | None,
        _is(
            "When too many CDRs in a row that failed disabled it; null while it is enabled, and when a person "
            "disabled it."
        ),
    ]

    @classmethod
    def of(cls, subscription: Subscription) -> Self:
        """Show a webhook. The values of its headers may be secrets."""
        return cls(
            n=subscription.number,
            url=subscription.url,
            body=list(subscription.body),
            method=subscription.method,
            headers=dict.fromkeys(subscription.headers, MASK),
            query=dict(subscription.query),
            constants=dict(subscription.constants),
            retry=subscription.retry,
            all_variables=subscription.all_variables,
            data_type=subscription.data_type,
            template=subscription.template,
            values=subscription.values,
            ignore_response=subscription.ignore_response,
            filter=[ConditionJson.of(condition) for condition in subscription.filter],
            cacert=subscription.trust.cacert,
            insecure=subscription.trust.insecure,
            enabled=subscription.enabled,
            failed_in_a_row=subscription.failed_in_a_row,
            disabled_at=_time(subscription.disabled_at),
        )


class FlashCallPricesJson(Struct, kw_only=True):
    """The prices of flash_call.

    By the country of the number that calls, ISO 3166-1 numeric.
    """

    russia: Annotated[Roubles, _is("From a Russian number.")] = field(name="643")
    slovakia: Annotated[Roubles, _is("From a Slovak number.")] = field(name="703")


class PaidFlashCallPricesJson(Struct, kw_only=True):
    """The prices of flashcall.

    By the country of the number that calls, ISO 3166-1 numeric.
    """

    russia: Annotated[Roubles, _is("From a Russian number.")] = field(name="643")
    kazakhstan: Annotated[Roubles, _is("From a Kazakh number.")] = field(name="398")


class PaidMethodsPricesJson(Struct, kw_only=True):
    """Prices of the dialect paidmethods, in roubles.

    By method.
    """

    call_for_2fa: Annotated[Roubles, _is("Of one call_2fa.")]
    flash_call: Annotated[
        PaidFlashCallPricesJson, _is("Of one flashcall, by the country of the number that calls, ISO 3166-1 numeric.")
    ]


class TariffJson(Struct, kw_only=True):
    """Prices in roubles.

    By method.
    """

    call_for_2fa: Annotated[Roubles, _is("Of one call.")]
    flash_call: Annotated[
        FlashCallPricesJson, _is("Of one call, by the country of the number that calls, ISO 3166-1 numeric.")
    ]
    paidmethods: Annotated[PaidMethodsPricesJson, _is("Prices of the dialect paidmethods.")]

    @classmethod
    def of(cls, tariff: Tariff) -> Self:
        """Show a tariff."""
        prices = FlashCallPricesJson(
            russia=format_roubles(tariff.flash_call[RUSSIA]), slovakia=format_roubles(tariff.flash_call[SLOVAKIA])
        )
        paid = tariff.paidmethods
        paid_prices = PaidMethodsPricesJson(
            call_for_2fa=format_roubles(paid.call_for_2fa),
            flash_call=PaidFlashCallPricesJson(
                russia=format_roubles(paid.flash_call[RUSSIA]), kazakhstan=format_roubles(paid.flash_call[KAZAKHSTAN])
            ),
        )
        return cls(call_for_2fa=format_roubles(tariff.call_for_2fa), flash_call=prices, paidmethods=paid_prices)


class AccountChangeJson(Struct, kw_only=True):
    """The changes of an account.

    Fields that are not given stay unchanged.
    """

    name: Annotated[Name | None, _is("Its name, for people; empty for none.")] = None
    balance: Annotated[
        BalanceGiven | None, _is('The balance, in roubles; or "unlimited", which leaves it as it is.')
    ] = None
    credit: Annotated[CreditGiven | None, _is("How far below zero a call may take the balance, in roubles.")] = None
    numbers: Annotated[
        Annotated[list[Annotated[str, _common("number_given")]], Meta(max_length=MAX_NUMBERS)] | None,
        _is("The connected numbers, all of them."),
    ] = None
    tariff: Annotated[Annotated[dict[str, Any], _common("tariff_given")] | None, _is("Its prices.")] = None
    calls_held: Annotated[
        bool | None, _is("Whether calls placed from now on ring until they are completed manually.")
    ] = None


class OpeningJson(Struct, kw_only=True):
    """An account to open.

    Every field is optional. A missing value is drawn from the seed, or empty.
    """

    id: Annotated[Id | None, _is("The account's id; drawn from the seed if not given.")] = None
    name: Annotated[Name | None, _is("Its name, for people; empty or not given for none.")] = None
    token: Annotated[Token | None, _is("The token of the Authorization header. Drawn from the seed if not given.")] = (
        None
    )
    seed: Annotated[Seed | None, _is("The seed of numbers, uuids and faults. Random if not given.")] = None
    balance: Annotated[
        BalanceGiven | None, _is('Roubles; or "unlimited", which begins at 0.00. 100.00 if not given.')
    ] = None
    credit: Annotated[
        CreditGiven | None, _is("How far below zero a call may take the balance, in roubles; 0.00 if not given.")
    ] = None
    numbers: Annotated[
        Annotated[list[Annotated[str, _common("number_given")]], Meta(max_length=MAX_NUMBERS)],
        _is("Numbers to connect."),
    ] = []
    tariff: Annotated[Annotated[dict[str, Any], _common("tariff_given")] | None, _is("Its prices.")] = None
    outcomes: Annotated[list[RuleGivenJson], Meta(max_length=MAX_RULES, description="Outcome rules.")] = []
    webhooks: Annotated[list[WebhookGivenJson], Meta(max_length=MAX_SUBSCRIPTIONS, description="Subscriptions.")] = []


class AccountJson(Struct, kw_only=True):
    """An account.

    As the admin API shows it, without its token.
    """

    id: Annotated[Id, _is("A number, as in the configuration file.")]
    name: Annotated[Name, _is("Its name, for people; empty if it has none.")]
    balance: Annotated[Roubles, _is("Roubles; always the sum of the ledger.")]
    credit: Annotated[Roubles, _is("How far below zero a call may take the balance, in roubles.")]
    unlimited: Annotated[bool, _is("Whether every call is accepted, at any balance and credit.")]
    numbers: Annotated[list[Number], _is("Connected numbers, for call_for_2fa.")]
    seed: Seed
    tariff: Annotated[TariffJson, _is("Prices in roubles.")]
    calls_held: Annotated[bool, _is("Whether calls placed from now on ring until they are completed manually.")]
    webhooks: Annotated[list[WebhookJson], _is("The subscriptions, as they were added.")]
    outcomes: Annotated[list[RuleJson], _is("The outcome rules; the first that matches wins.")]
    faults: Annotated[list[FaultJson], _is("The faults that are switched on.")]

    @classmethod
    def of(cls, account: Account, balance: int) -> Self:
        """Show an account; its balance is in kopecks."""
        return cls(
            id=int(account.id),
            name=account.name,
            balance=format_roubles(balance),
            credit=format_roubles(account.credit),
            unlimited=account.unlimited,
            numbers=list(account.numbers),
            seed=account.seed,
            tariff=TariffJson.of(account.tariff),
            calls_held=account.calls_held,
            webhooks=[WebhookJson.of(subscription) for subscription in account.subscriptions],
            outcomes=[RuleJson.of(rule) for rule in account.outcome_rules],
            faults=[FaultJson.of(fault) for fault in account.faults],
        )


class AccountOpenedJson(AccountJson, kw_only=True):
    """An account that was just opened.

    With its token if that was drawn, not given: it is shown only this once.
    """

    token: Token | UnsetType = UNSET


class TopUpJson(Struct, kw_only=True):
    """Money to add.

    To an account.
    """

    amount: Annotated[str | int, _common("amount_given")]


class EntryJson(Struct, kw_only=True):
    """A movement of money.

    An entry of an account's ledger, whose sum is the balance.
    """

    n: Annotated[Count, _is("Numbers the account's entries from 1.")]
    kind: Annotated[EntryKind, _is("Why money moved.")]
    amount: Annotated[Roubles, _is("Roubles; negative for a charge.")]
    balance: Annotated[Roubles, _is("The balance after it.")]
    at: Time
    verification_call_uuid: Annotated[Uuid | None, _is("The call that was charged; null if it is not a charge.")]

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Show an entry."""
        return cls(
            n=entry.n,
            kind=entry.kind,
            amount=format_roubles(entry.kopecks),
            balance=format_roubles(entry.balance),
            at=time_of(entry.at),
            verification_call_uuid=entry.verification_call_uuid,
        )


class OrderJson(EndingJson, kw_only=True):
    """A call to place.

    The checks and refusals are those of the vendor's API, but no token is needed. Empty text counts as not given.
    outcome or q931_status sets the ending; without them the account's outcome rules decide.
    """

    rule: ClassVar = "order_given"

    method: Method
    dialect: Annotated[Dialect | None, _is("The dialect whose rules it is placed by; api_mcn if not given.")] = None
    login_did: Annotated[Number, _is("The number to ring.")]
    code: Annotated[
        Annotated[str, Meta(max_length=256)] | None,
        _is("Four digits in which the caller's number ends. Of flash_call; call_for_2fa ignores it."),
    ] = None
    country_id: Annotated[
        Annotated[str, Meta(max_length=256)] | int | None,
        _is("The country to call from, as flash_call takes it. Of flash_call; call_for_2fa ignores it."),
    ] = None
    caller_did: Annotated[
        Annotated[str, Meta(max_length=256)] | None,
        _is("The number to ring from. Of call_for_2fa; flash_call ignores it."),
    ] = None


class ReasonJson(Struct, kw_only=True):
    """A reason.

    A stable code and the values of its text, for a page in another language.
    """

    code: Annotated[str, _is("A word that does not change with the text.")]
    values: Annotated[dict[str, Any], _is("Text, numbers and further reasons, by name.")]

    @classmethod
    def of(cls, reason: Reason) -> Self:
        """Show a reason."""
        return cls(**reason.shown())


class ExplanationJson(Struct, kw_only=True):
    """Why a call is as it is.

    The rules that decided the call.
    """

    country: Annotated[str, _is("The country of the number that calls; empty for call_for_2fa.")]
    number: Annotated[str, _is("The number that calls.")]
    price: Annotated[str, _is("The price.")]
    outcome: Annotated[str, _is("The end.")]
    cdr: Annotated[
        str | UnsetType, _is("Why a webhook does not get the call's CDR; absent if every webhook gets it.")
    ] = UNSET
    reasons: Annotated[
        list[ReasonJson], _is("The same as codes and values. A code begins with the name of the field, such as price_.")
    ]


class CallDeliveryJson(Struct, kw_only=True):
    """A delivery of a call.

    In short.
    """

    id: Annotated[Count, _is("Numbers the deliveries of the server.")]
    state: Annotated[DeliveryState, _is("The state of the delivery.")]


class CallJson(Struct, kw_only=True):
    """A call.

    One accepted call; how it ends is null until it has ended.
    """

    seq: Annotated[Count, _is("Numbers the calls of the server as they arrive, from 1.")]
    verification_call_uuid: Uuid
    account_id: Annotated[Id, _is("The account that paid.")]
    dialect: Dialect
    method: Method
    login_did: Annotated[Number, _is("The number that is called.")]
    caller_did: Annotated[Number, _is("The number that calls.")]
    code: Annotated[str, _common("code"), _is("Its last four digits.")]
    country_id: Annotated[
        Literal[643, 703, 398] | None, _is("The country of the number that calls; null for call_for_2fa.")
    ]
    price: Annotated[Roubles, _is("The price that was charged.")]
    state: Annotated[Literal["ringing", "completed"], _is("Whether it has ended.")]
    outcome: Annotated[Outcome | None, _is("How it ended.")]
    q931_status: Annotated[Cause | None, _is("The Q.850 cause.")]
    final_status: Annotated[
        Annotated[str, _common("final_status")] | None, _is("As in the CDR; null if none is documented.")
    ]
    explanation: Annotated[ExplanationJson, _is("The rules that decided the call.")]
    placed_at: Annotated[Time, _is("When it was accepted.")]
    ends_at: Annotated[Time | None, _is("When it ends; null while it is held.")]
    ended_at: Annotated[Time | None, _is("When it ended.")]
    deliveries: Annotated[
        list[CallDeliveryJson] | UnsetType, _is("The deliveries of its CDR. The answer to a change leaves them out.")
    ] = UNSET

    @classmethod
    def of(cls, call: Call, deliveries: Sequence[tuple[int, DeliveryState]] | None = None) -> Self:
        """Show a call, and the ids and states of its deliveries if they are known."""
        why = call.explanation
        return cls(
            seq=call.seq,
            verification_call_uuid=call.verification_call_uuid,
            account_id=int(call.account_id),
            dialect=call.dialect,
            method=call.method,
            login_did=call.login_did,
            caller_did=call.caller_did,
            code=call.code,
            country_id=call.country_id,  # type: ignore[arg-type]  # the model does not know which there are
            price=format_roubles(call.price),
            state=call.state,  # type: ignore[arg-type]  # one of the two
            outcome=call.ending.outcome if call.ending else None,
            q931_status=call.ending.q931_status if call.ending else None,
            final_status=call.ending.final_status if call.ending else None,
            explanation=ExplanationJson(
                country=why.country,
                number=why.number,
                price=why.price,
                outcome=why.outcome,
                cdr=why.cdr or UNSET,
                reasons=[ReasonJson.of(reason) for reason in why.reasons],
            ),
            placed_at=time_of(call.placed_at),
            ends_at=_time(call.ends_at),
            ended_at=_time(call.ended_at),
            deliveries=UNSET
            if deliveries is None
            else [CallDeliveryJson(id=number, state=state) for number, state in deliveries],
        )


class CdrResponseJson(Struct, kw_only=True):
    """The answer of an endpoint.

    To a CDR.
    """

    headers: Annotated[dict[str, str], _is("Its headers.")]
    body: Annotated[str, _is("Its first 4096 characters.")]

    @classmethod
    def of(cls, response: CdrResponse) -> Self:
        """Show the beginning of an answer."""
        headers = {name[:MAX_SHOWN]: value[:MAX_SHOWN] for name, value in list(response.headers.items())[:100]}
        return cls(headers=headers, body=_text(response.body))


class AttemptJson(Struct, kw_only=True):
    """One try to deliver a CDR.

    The answer of the endpoint, or why there is none.
    """

    number: Annotated[Count, _is("From 1.")]
    at: Annotated[Time, _is("When it began.")]
    duration_s: Annotated[float, Meta(ge=0, description="How long it took, in seconds.")]
    status: Annotated[int | None, _is("The HTTP status of the answer; null if there was none.")]
    error: Annotated[str | None, _is("Why there was no acknowledgement; null if there was one.")]
    sent_twice: Annotated[
        bool,
        _is(
            "Whether it had been sent before on a kept connection, which the endpoint closed without an answer: it may "
            "have the CDR twice."
        ),
    ]
    response: Annotated[CdrResponseJson | None, _is("The answer; null if there was none.")]

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        """Show an attempt."""
        response = attempt.response
        return cls(
            number=attempt.number,
            at=time_of(attempt.at),
            duration_s=round(attempt.duration_s, 6),
            status=attempt.status,
            error=attempt.error,
            sent_twice=response is not None and response.sent_twice,
            response=None if response is None else CdrResponseJson.of(response),
        )


class CdrRequestJson(Struct, kw_only=True):
    """The request that carries a CDR.

    To a webhook.
    """

    method: Annotated[WebhookMethod, _is("As the webhook has it.")]
    url: Annotated[str, _is("With the query parameters.")]
    headers: Annotated[dict[str, str], _is("The values of the webhook's own are masked: ***.")]
    body: Annotated[str, _is("Its first 4096 characters.")]

    @classmethod
    def of(cls, request: CdrRequest) -> Self:
        """Show a request. The values of the webhook's own headers may be secrets."""
        headers = {name: value if name in SENT_HEADERS else MASK for name, value in request.headers.items()}
        return cls(method=WebhookMethod(request.method), url=request.url, headers=headers, body=_text(request.body))


class PreviewJson(CdrRequestJson, kw_only=True):
    """The request that a webhook would get.

    For the newest call of the account that has ended and has a CDR or, if there is none, for a made-up one.
    """

    body: Annotated[str, _is("Its first 65536 characters.")]
    verification_call_uuid: Annotated[Uuid, _is("The call.")]
    made_up: Annotated[bool, _is("Whether the call is made up.")]
    note: Annotated[str, _is("Why the filter does not let the call through; empty if it does.")]
    why: Annotated[ReasonJson | None, _is("The note as a code and values; null if there is none.")]

    @classmethod
    def of_preview(cls, preview: Preview) -> Self:
        """Show a preview. The values of the webhook's own headers are masked as in a delivery."""
        shown = CdrRequestJson.of(preview.request)
        return cls(
            method=shown.method,
            url=shown.url,
            headers=shown.headers,
            body=_text(preview.request.body, MAX_PREVIEWED),
            verification_call_uuid=preview.call.verification_call_uuid,
            made_up=preview.is_made_up,
            note="" if preview.note is None else str(preview.note),
            why=_reason(preview.note),
        )


class DeliveryJson(Struct, kw_only=True):
    """The delivery of a CDR.

    Of one call to one webhook.
    """

    id: Annotated[Count, _is("Numbers the deliveries of the server from 1.")]
    verification_call_uuid: Annotated[Uuid, _is("The call.")]
    account_id: Id
    webhook: Annotated[Count, _is("The number of the webhook.")]
    url: Annotated[str, _is("The URL of the webhook.")]
    state: Annotated[DeliveryState, _is("pending until it was acknowledged or failed.")]
    due_at: Annotated[
        Time | None, _is("When it is tried next; null while the call is held, and when nothing is pending.")
    ]
    note: Annotated[str, _is("The fault that alters it, or why it failed; empty if there is none.")]
    why: Annotated[ReasonJson | None, _is("The note as a code and values; null if there is none.")]
    cdr: Annotated[Cdr | None, _is("The CDR as it is sent; the variables in a text; null while the call rings.")]
    request: Annotated[CdrRequestJson | None, _is("The request that carries the CDR; null while the call rings.")]
    attempts: Annotated[list[AttemptJson], _is("Every try so far.")]

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        """Show a delivery."""
        return cls(
            id=delivery.id,
            verification_call_uuid=delivery.verification_call_uuid,
            account_id=int(delivery.account_id),
            webhook=delivery.subscription,
            url=delivery.url,
            state=delivery.state,
            due_at=_time(delivery.due_at),
            note=delivery.note,
            why=_reason(delivery.why),
            cdr=None if delivery.cdr is None else dict(delivery.cdr),
            request=None if delivery.request is None else CdrRequestJson.of(delivery.request),
            attempts=[AttemptJson.of(attempt) for attempt in delivery.attempts],
        )


class RefusalJson(Struct, kw_only=True):
    """Why a request was refused.

    As the error envelope says it.
    """

    code: RefusalCode
    message: Annotated[str, _is("For a person to read.")]
    parameter: Annotated[str | None, _is("The parameter that was wrong.")]
    reason: Annotated[ReasonJson | None, _is("The message as a code and values; null if it has none.")]

    @classmethod
    def of(cls, refusal: Refusal) -> Self:
        """Show a refusal."""
        return cls(
            code=refusal.code, message=refusal.message, parameter=refusal.parameter, reason=_reason(refusal.reason)
        )


class RequestJson(Struct, kw_only=True):
    """A request to the vendor's API.

    As it arrived, the refused ones included.
    """

    seq: Annotated[Count, _is("Numbers the requests from 1.")]
    at: Annotated[Time, _is("When it arrived.")]
    method: Annotated[str, _is("The HTTP method.")]
    path: Annotated[str, _is("The path, without the query.")]
    dialect: Annotated[Dialect | None, _is("The dialect of the path; null if it belongs to none.")]
    account_id: Annotated[
        str | None,
        _is(
            "That of the path, as text, whether or not there is such an account; in a dialect whose paths have none, "
            "that of the token. Null if there is none."
        ),
    ]
    parameters: Annotated[dict[str, str], _is("Those that were understood, without a token.")]
    status: Annotated[int | None, _is("The HTTP status of the answer; null while there is none.")]
    refusal: Annotated[RefusalJson | None, _is("Why it was refused; null if it was not.")]
    undocumented: Annotated[list[str], _is("The undocumented behaviour that it relied on, one sentence each.")]
    fault: Annotated[FaultKind | None, _is("The fault that altered it.")]
    verification_call_uuid: Annotated[Uuid | None, _is("The call that was placed.")]

    @classmethod
    def of(cls, request: ApiRequest) -> Self:
        """Show a request."""
        refusal = request.refusal
        return cls(
            seq=request.seq,
            at=time_of(request.received_at),
            method=request.method,
            path=request.path[:MAX_SHOWN],
            dialect=request.dialect,
            account_id=request.account_id,
            parameters=dict(request.parameters),
            status=request.status,
            refusal=None if refusal is None else RefusalJson.of(refusal),
            undocumented=[str(use) for use in request.undocumented],
            fault=None if request.fault is None else FaultKind(request.fault),
            verification_call_uuid=request.verification_call_uuid,
        )


class MistakeJson(Struct, kw_only=True):
    """A mistake.

    Something that went wrong on an account and was not expected, as a strict test of the plugin would have it.
    """

    code: Annotated[MistakeCode, _is("Its kind.")]
    message: Annotated[str, _is("For a person to read.")]
    request: Annotated[int | None, _is("The seq of the request; null if it is not about one.")]
    refusal: Annotated[RefusalCode | None, _is("The code of the refusal; null if it is not about one.")]
    delivery: Annotated[int | None, _is("The id of the delivery; null if it is not about one.")]
    verification_call_uuid: Annotated[Uuid | None, _is("The call; null if it is not about one.")]

    @classmethod
    def of(cls, mistake: Mistake) -> Self:
        """Show a mistake."""
        return cls(**{**msgspec.structs.asdict(mistake), "message": mistake.message[:MAX_SHOWN]})


class AdvanceJson(Struct, kw_only=True):
    """How far to put the time forward.

    For every account.
    """

    seconds: Annotated[float, Meta(ge=0, le=MAX_ADVANCE_S, description="Seconds; at most a year.")]


class AdvancedJson(Struct, kw_only=True):
    """The time afterwards.

    Once all that fell due has been tried.
    """

    now: Time


class SessionJson(Struct, kw_only=True):
    """To open a browser's session.

    The answer sets a cookie.
    """

    token: Annotated[Token, _is("The admin token.")]


class DoneJson(Struct, kw_only=True):
    """Something was done.

    The action is done, and there is no other result.
    """

    status: Annotated[Literal["ok"], _is("It was done.")] = "ok"


class ReloadedJson(Struct, kw_only=True):
    """A configuration that was loaded again.

    Each list has a sentence, or the name of a setting, for each thing.
    """

    applied: Annotated[list[str], _is("The changes that apply from now on.")] = []
    restart: Annotated[list[str], _is("Settings that have changed, and hold after a restart.")] = []
    differs: Annotated[list[str], _is("The parts of the state that differ from the file, and stay so.")] = []


class HealthJson(Struct, kw_only=True):
    """The server's health.

    That it answers.
    """

    status: Annotated[Literal["ok"], _is("It answers.")] = "ok"
    version: Annotated[str, _is("Of the package.")]
    ready: Annotated[bool, _is("Whether it takes requests.")]
    store: Annotated[str, _is("The kind of state: memory, sqlite or postgresql.")]
    replica: Annotated[str, _is("Its name among the servers that share its state.")]


class OutcomesJson(Struct, kw_only=True):
    """How many calls ended in each way.

    And how many ring.
    """

    ringing: Annotated[Total, _is("Not ended yet.")]
    answered: Annotated[Total, _is("Answered.")]
    busy: Annotated[Total, _is("Busy.")]
    no_answer: Annotated[Total, _is("Not answered.")]
    rejected: Annotated[Total, _is("Rejected.")]
    unavailable: Annotated[Total, _is("Could not be reached.")]


class DeliveriesJson(Struct, kw_only=True):
    """How many deliveries are in each state.

    All that are pending are counted.
    """

    pending: Annotated[Total, _is("To be sent, or sent again.")]
    delivered: Annotated[Total, _is("Acknowledged, or the webhook ignores the answer.")]
    failed: Annotated[Total, _is("Not to be sent again.")]


class RequestsJson(Struct, kw_only=True):
    """How many requests were accepted, and how many refused.

    Of those that are listed.
    """

    accepted: Annotated[Total, _is("Accepted, or still to be answered.")]
    refused: Annotated[Total, _is("Refused.")]


class MinuteJson(Struct, kw_only=True):
    """A minute.

    And the calls that were placed in it.
    """

    at: Annotated[Time, _is("When it begins.")]
    calls: Annotated[Total, _is("How many calls were placed.")]
    answered: Annotated[Total, _is("How many of them were answered.")]


class OverviewJson(Struct, kw_only=True):
    """Counts of calls, deliveries and requests.

    Of an account or of all.
    """

    accepted: Annotated[Total, _is("How many calls were accepted since the accounts were opened.")]
    spent: Annotated[Roubles, _is("The cost of these calls.")]
    listed: Annotated[Total, _is("How many of them are listed.")]
    most: Annotated[Total, _is("At most so many calls, deliveries and requests are counted below, the newest ones.")]
    calls: Annotated[OutcomesJson, _is("Listed calls.")]
    deliveries: Annotated[DeliveriesJson, _is("Deliveries.")]
    requests: Annotated[RequestsJson, _is("Listed requests.")]
    minutes: Annotated[list[MinuteJson], _is("The last sixty minutes, the oldest first; the last is the present one.")]

    @classmethod
    def of(cls, tally: Tally, refusals: Sequence[bool], since: float, minutes: int, most: int) -> Self:
        """Show a count, and whether each request was refused. A call of a later minute is in the last one."""
        counted = [(0, 0)] * minutes
        for minute, (placed, answered) in tally.minutes.items():
            index = min(minute, minutes - 1)
            counted[index] = counted[index][0] + placed, counted[index][1] + answered
        refused = sum(refusals)
        return cls(
            accepted=tally.accepted,
            spent=format_roubles(tally.spent),
            listed=tally.listed,
            most=most,
            calls=OutcomesJson(
                ringing=tally.outcomes.get(None, 0), **{outcome: tally.outcomes.get(outcome, 0) for outcome in Outcome}
            ),
            deliveries=DeliveriesJson(
                pending=tally.pending,
                delivered=tally.deliveries.get(DeliveryState.DELIVERED, 0),
                failed=tally.deliveries.get(DeliveryState.FAILED, 0),
            ),
            requests=RequestsJson(accepted=len(refusals) - refused, refused=refused),
            minutes=[
                MinuteJson(at=time_of(since + 60 * index), calls=placed, answered=answered)
                for index, (placed, answered) in enumerate(counted)
            ],
        )


class ReadinessJson(Struct, kw_only=True):
    """Whether new calls are taken.

    And if not, why not.
    """

    status: Annotated[Literal["ok", "unavailable"], _is("In a word.")]
    ready: Annotated[bool, _is("Whether new calls are taken.")]
    reasons: Annotated[list[str], _is("Why they are not; empty while they are.")]


class NothingJson(Struct, kw_only=True):
    """Nothing.

    An empty object; no body is one too.
    """


class ClosedJson(Struct, kw_only=True):
    """Which account was closed.

    Its calls are forgotten.
    """

    id: Id


class DroppedJson(Struct, kw_only=True):
    """How much a listener missed.

    It was too slow.
    """

    count: Annotated[Count, _is("Items.")]


def time_of(seconds: float) -> str:
    """Return seconds since the epoch as ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _reason(reason: Reason | None) -> ReasonJson | None:
    return None if reason is None else ReasonJson.of(reason)


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else time_of(seconds)


def _text(body: bytes, most: int = MAX_SHOWN) -> str:
    return body[: 4 * most].decode(errors="replace")[:most]


EVENTS: Final[Mapping[str, type[Struct]]] = {
    "call": CallJson,
    "delivery": DeliveryJson,
    "account": AccountJson,
    "request": RequestJson,
    "closed": ClosedJson,
    "reset": NothingJson,
    "dropped": DroppedJson,
}
"""The data of each server-sent event."""
