"""Reasons of explanations and refusals: a stable code word and its values, and the English text of each.

The admin API shows both. The page shows a reason in the language of its reader, so it needs no text of ours: it has a
text of its own for every code (``web/page/reasons.ru.js``).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct

TEXTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # Explanations of a call. The first part of the code names the subject.
        "country_russian": "no country_id, and login_did is Russian: from a Russian number",
        "country_kazakh": "no country_id, and login_did is Kazakh: from a Kazakh number",
        "country_foreign": "no country_id, and login_did is of {region}, not Russian: from a {country} number",
        "country_unknown": "no country_id, and login_did is of no known country, not Russian: from a {country} number",
        "country_third": "no country_id, and login_did is of {region}, a third country: from a {country} number",
        "country_third_unknown": (
            "no country_id, and login_did is of no known country, a third country: from a {country} number"
        ),
        "country_given": "country_id is {value}: from a {country} number",
        "country_other": "country_id is {value}, any other value: from a {country} number",
        "country_domestic": (
            "warning: {name} {number} is a {country} number as it is dialled inside {place}; {country} numbers "
            "begin with 7: {meant} may be meant"
        ),
        "number_connected": "from the connected number of the request",
        "number_code": "{country} number, ends in the requested code {code}",
        "number_random": "{country} number, random, as no code was given",
        "price_own": "{method} costs {price}",
        "price_country": "{method} from a {country} number costs {price}",
        "outcome_magic": "magic number {number}: {outcome} ({detail})",
        "outcome_magic_held": "magic number {number}: rings until it is completed, then {outcome} ({detail})",
        "outcome_rule": "outcome rule for {pattern}: {outcome} ({detail})",
        "outcome_chosen": "chosen with the order: {outcome} ({detail})",
        "outcome_default": "no outcome rule matches: {outcome} ({detail})",
        "outcome_manual": "completed manually: {outcome} ({detail})",
        "cdr_disabled": "webhook {n} is disabled: no CDR is sent to it",
        "cdr_disabled_since": (
            "webhook {n} is disabled since {since} UTC, after {failed} CDRs in a row failed: no CDR is sent to "
            "it until it is enabled again"
        ),
        "cdr_filtered": "the filter of webhook {n} does not let the call through: {why}",
        # Remarks on a delivery.
        "fault": "fault {kind}",
        "webhook_removed": "the webhook was removed",
        "filtered": "the filter does not let the call through: {why}",
        "unmet": "{variable} is {value}, and the filter says: {condition}",
        "unmet_absent": "{variable} is absent, and the filter says: {condition}",
        "condition_equals": "{variable} is {value}",
        "condition_not_equals": "{variable} is not {value}",
        "condition_in": "{variable} is in {value}",
        "condition_not_in": "{variable} is not in {value}",
        # The end of a message about an unknown word.
        "meant": "did you mean {word}?",
        "known": "known are {words}",
        "none_known": "there are none",
        # Why something was refused.
        "account_id": "invalid account id {value}: use one to fifteen digits, such as '12345678'",
        "token": "invalid token: use 1 to 512 visible ASCII characters without spaces",
        "seed": "invalid seed {value}: use a whole number from 0 to {most}",
        "account_name": "invalid name {value}: use at most {most} characters, without control characters",
        "credit_negative": "invalid credit {amount}: a credit is not negative; use 0 or more",
        "numbers_full": "account {account} has {most} numbers already",
        "webhooks_full": "account {account} has {most} subscriptions already",
        "webhook_not_found": "account {account} has no subscription {n}",
        "rules_too_many": "too many outcome rules: {n}; use at most {most}",
        "faults_too_many": "too many faults: {n}; use at most {most}",
        "rules_full": "account {account} has {most} outcome rules already",
        "faults_full": "account {account} has {most} faults already",
        "variable_no_end": "{name}: ${{{{ has no }}}}; write a variable as ${{{{verification_call_uuid}}}}",
        "variable_in_key": "{name}: {key} has a variable in a key; a variable can only be in a value",
        "variable_unknown": "{name}: variable {value} is unknown; {hint}",
        "filter_key_unknown": "filter: {value} is unknown; {hint}",
        "filter_incomplete": "filter: a condition has a variable and a value, such as {example}",
        "filter_operator": "filter: operator {value} is unknown; use equals or in",
        "filter_items": "filter: value has {n} items; use 1 to {most}",
        "filter_value": "filter: value {value} is not a short text, a whole number or a boolean",
        "magic_refusal": "{number} is the magic number for this refusal",
        "number_not_connected": "number {number} is not connected to this account",
        "insufficient_funds": "the call costs {price} roubles; the balance is {balance} and the credit {credit}",
        "fault_needs_delay": "the fault {kind} needs delay_s, in seconds",
        "fault_unknown": "fault kind {value} is unknown; {hint}",
        "amount_type": 'invalid {name} {value}: use roubles as text or Decimal, such as "10.00"',
        "amount": 'invalid {name} {value}: use roubles such as "10.00"',
        "amount_too_large": "invalid {name}: it is too large; use at most {most} roubles",
        "price_unknown": "{name}: {value} is unknown; {hint}",
        "prices_type": '{name}: flash_call is {value}; give a price by country, such as {{643: "0.15"}}',
        "price_no_country": "{name}: flash_call has no country {value}; known are {countries}",
        "price_negative": "invalid {name} {amount}: a price is not negative",
        "outcome_or_cause": "give exactly one of outcome and q931_status",
        "outcome_unknown": "outcome {value} is unknown; {hint}",
        "cause": "q931_status {value} is not a Q.850 cause; use a whole number from {least} to {most}",
        "pattern": "invalid login_did pattern {value}: use digits, * and ?, such as '7915777*'",
        "header_ours": "headers: {header} cannot be set, because it frames the request; remove it",
        "header_invalid": (
            "headers: {header} cannot be sent; use a token for the name and one line of text for the value"
        ),
        "too_many_places": "${{{{name}}}} is in the texts of the webhook {n} times; at most {most}",
        "conditions_too_many": "filter has {n} conditions; at most {most}",
        "template_missing": (
            'template is missing: data_type = "text" needs one, such as "call ${{{{verification_call_uuid}}}}"'
        ),
        "template_not_text": 'template is for data_type = "text"',
        "template_too_long": "template is not a text of at most {most} characters that UTF-8 can write",
        "all_variables_text": 'all_variables is for data_type = "json": the template of a text names its variables',
        "get_no_body": '{setting} needs method = "POST", because a GET has no body',
        "values_flat": 'values = "text" is for the flat body of listed variables; remove it',
        "constants_flat": "constants are for the flat body of listed variables; remove them",
        "word": "{name} is {value}; use {words}",
        "fields_too_many": "{name} has {n} fields; at most {most}",
        "field_too_long": "{name}: {key} is too long; at most {most} characters",
        "field_surrogate": "{name}: {key} cannot be sent; it has a lone surrogate, which is not a character",
        "target": "url: {host} is not among the webhook_targets, which are {targets}",
        "not_bool": "{name} is {value}; use True or False",
        "not_text": "{name} is {value}; use text, such as {example}",
        "not_whole": "{name} is {value}; use a whole number from {least} to {most}{also}",
        "not_number": "{name} is {value}; use a number above {least} and up to {most}",
        "not_seconds": "{name} is {value}; use a number of seconds from {least} to {most}",
        "not_mapping": "{name} is {value}; use a dict, such as {example}",
        "not_list": "{name} is {value}; use a list, such as {example}",
        "not_url_text": "{name} is {value}; use a URL, such as {example}",
        "not_url": "{name} {value} is not an http or https URL with a host, such as {example}",
        "url_too_long": "{name} has {n} characters; at most {most}",
        "insecure": "insecure is {value}; use true to accept any certificate, or false",
        "cacert_and_insecure": "cacert and insecure exclude each other; use one of them",
        "cacert_invalid": "{name} {value} has a certificate that is not valid; use a PEM file",
        "top_up_positive": "amount is {amount}; a top-up is positive (set_balance takes any)",
        "call_ended": "call {uuid} has ended already: {ending}",
        "overloaded_call": "the call would add {n} CDRs; at most {most} may be pending",
        "overloaded_pending": "{n} CDRs are pending; at most {most} may be",
        "overloaded_unlisted": "{n} unlisted calls ring or have a pending CDR; wait until one ends",
        "delivery_no_cdr": "delivery {delivery} has no CDR yet: its call has not ended; complete the call first",
        "delivery_no_webhook": "delivery {delivery} cannot be sent: its webhook was removed",
        "delivery_too_often": "delivery {delivery} was tried {most} times; place another call",
        "account_not_found": "there is no account {account}",
        "call_not_found": "there is no call {uuid}",
        "delivery_not_found": "there is no delivery {delivery}",
        "account_taken": "account id {account} is or was in use; choose another id",
        "token_taken": "the token of account {account} is used by another account; choose another token",
        "advance_stalled": (
            "the time was not put forward to the end: no attempt to send a CDR ended for {seconds} s, and {n} "
            "are in flight; check the webhooks, then advance again"
        ),
        "stopped": "the server was stopped meanwhile",
        "no_xml": (
            'the fake answers only in JSON: there is no setting answer_format = "xml"; end the path in .json, '
            "or leave the suffix out"
        ),
        "required": "{name} is required",
        "code": "code must be four digits, such as 0042",
        "token_required": "a token is required: Authorization: Bearer <token>",
        "token_unknown": "the token is unknown",
        "waits_full": "{n} requests wait already; ask again when one has its answer",
        "listeners": "{n} listen already; close one",
        "foreign_host": "Host {host} is not this machine; to allow it, add it to [server] allowed_hosts",
        "not_admin_token": "the token that was given is not the admin token",
        "admin_token_required": "an admin token is required: Authorization: Bearer <token>, or a session of the page",
        "wrong_admin_token": "that is not the admin token",
        "foreign_page": "a web page of another site may not send this request",
        "foreign_origin": "Origin {origin} is another site; to allow it, add its host to [server] allowed_hosts",
        "advance_too_far": "seconds is {value}, which leads beyond the year 8999; advance by less",
        "reload_no_file": "there is no configuration file to load; start the sandbox with --config",
        "reload_invalid": "nothing was changed, because the configuration cannot be used\n{problems}",
        "no_metrics": (
            "only the sandbox has metrics: pip install 'pytest-mcn-mock[sandbox]', and start it with mcn-mock serve"
        ),
        "outcome_and_cause": "outcome {outcome} has q931_status {q931_status}, not {value}; give one of the two",
        "amount_digits": '{name} is {value}; write roubles in digits, such as "10.00"',
        "rule_incomplete": "{place} needs an outcome or a q931_status",
        "order": "order {value} is unknown; it is oldest or newest",
        "changed": "it was changed since it was read; read it again, and then change it",
        "parameter_unknown": "{name} is unknown; {hint}",
        "parameter_empty": "{name} is empty; give a value, or leave the parameter out",
        "parameter_number": "login_did is {value}; use {form}",
        "parameter_code": "code is {value}; use four digits, such as 0042",
        "state_unknown": "state {value} is unknown; {hint}",
        "wait": "wait is {value}; use a number of seconds from 0 to {most}",
        "parameter_whole": "{name} is {value}; use a whole number from 0 to {most}",
        "not_object": "{place} is {value}; use a JSON object",
        "field_unknown": "{name} is unknown in {place}; {hint}",
        "list_field_unknown": "{name} is unknown in the body; known are items, next",
        "next": "next is {value}; use a whole number or null",
        "not_items": "the body is not a list; use a list, or an object with the list in items",
        "word_unknown": "{name} {value} is unknown; {hint}",
        "wrong_type": "{name} is {value}; use {kinds}",
        "file_not_found": "the page has no file {name}",
        "schema_not_found": "there is no schema {name}; {hint}",
        "not_here": "the page is at {page}/, and the API is under {root}",
        "method_not_allowed": "use {methods} for this path",
        "path_not_found": "there is no such path; the methods are under {base}",
        "method_not_found": "there is no method {value}; {hint}",
        "internal_error": "the mock failed; its log says why",
        "amount_fraction": "invalid {name} {value}: it has a fraction of a kopeck; use at most two decimals",
        "cacert_type": "{name} is {value}; give the path of a PEM file of authorities",
        "cacert_unreadable": "{name} {value} cannot be read: {why}; give the path of a PEM file",
        "cacert_not_file": "{name} {value} is not a file; give the path of a PEM file of authorities",
        "cacert_too_large": "{name} {value} is larger than {most} bytes; give a PEM file of authorities",
        "number": "invalid number {value}: use {form}",
        "filter_needs_list": "filter: value is {value}; in needs a list, such as [16, 17]",
        "filter_needs_single": "filter: value is {value}; equals needs a single value, such as 16",
        "body_too_long": "body has {n} variables; use at most {most}, such as {example}",
        "field_not_text": "{name}: {key} must be text with text for its value",
        "field_not_plain": "{name}: {key} must be text with a text, a whole number or a boolean for its value",
        "number_form": "{name} must be {form}",
        "foreign_account": "the token has no access to the account in the path",
        "foreign_account_header": "the token has no access to the account in the header {header}",
        "required_body_not_read": (
            "{name} is required; the body is not read, because its Content-Type is neither application/json nor a form"
        ),
        "required_unknown_given": "{name} is required; the request has {given}, which the method does not know",
        "value_too_long": "{name} is longer than {most} characters",
        "not_whole_body": "{name} ended before it was complete",
        "query_not_utf8": "{name} is not UTF-8, percent-encoded",
        "too_many_parameters": "{name} has more than {most} parameters",
        "not_parameters": "{name} is JSON, but not an object of parameters",
        "surrogate": "{name} has a lone surrogate, which is not a character",
        "not_json": "{name} is not a JSON document in UTF-8",
        "must_be_text": "{name} must be text",
        "not_form": "{name} is not a complete multipart form",
        "is_file": "{name} must be text, not a file",
        "nameless_part": "{name} has a part without a name",
        "not_utf8": "{name} is not UTF-8",
        "given_twice": "{name} is given more than once",
        "body_too_large": "the body is larger than {most} bytes",
        "cacert_no_pem": "{name} {value} has no PEM certificate; it begins with -----BEGIN CERTIFICATE-----",
    }
)
"""The English text of every code. ``{name}`` is a value."""


class Reason(Struct, frozen=True, array_like=True, gc=False):
    """A code of ``TEXTS`` and the values of its text, by name: text, numbers, and other reasons. ``str`` of it is the
    English text.
    """

    code: str
    values: Mapping[str, str | int | float | Reason] = {}

    def __str__(self) -> str:
        return TEXTS.get(self.code, self.code).format_map(self.values)

    def shown(self) -> dict[str, Any]:
        """Return the reason as the admin API shows it: ``{"code": …, "values": {…}}``."""
        values = {name: value.shown() if isinstance(value, Reason) else value for name, value in self.values.items()}
        return {"code": self.code, "values": values}
