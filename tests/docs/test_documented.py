"""What the vendor's article says, a test for each sentence. docs/fidelity.toml has a row for each."""

from __future__ import annotations

from decimal import Decimal

import pytest
import requests
from helpers.client import KAZAKH, RUSSIAN, call_for_2fa, flash_call
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import Account, Outcome

CONNECTED = "79158888888"
SLOVAK = "421901234567"


def caller_of(mcn: Account, login_did: str, **parameters: str) -> str:
    """The country code of the number that calls."""
    assert flash_call(mcn, login_did, **parameters).status_code == 200
    return "7" if mcn.calls[-1].caller_did.startswith("7") else "421"


@pytest.mark.parametrize("method", ["call_for_2fa", "flash_call"])
def test_the_two_methods_are_at_the_articles_paths(mcn: Account, method: str) -> None:
    """Метод post /account/{account_id}/flash_call"""
    mcn.connect_number(CONNECTED)
    url = f"{mcn.base_url}/account/{mcn.account_id}/{method}?caller_did={CONNECTED}&login_did={RUSSIAN}"
    assert requests.post(url, headers=mcn.headers, timeout=30).status_code == 200
    assert mcn.base_url.endswith("/v2/rest")


def test_parameters_are_in_the_query_and_the_body_is_empty(mcn: Account) -> None:
    """curl -X POST --header 'Content-Type: application/json' … '…/flash_call?login_did=79157777777'"""
    response = requests.post(
        f"{mcn.base_url}/account/{mcn.account_id}/flash_call?login_did={RUSSIAN}",
        headers={**mcn.headers, "Content-Type": "application/json", "Accept": "application/json"},
        timeout=30,
    )
    assert (response.status_code, response.request.body) == (200, None)


def test_the_token_is_a_bearer_token(mcn: Account) -> None:
    """--header 'Authorization: Bearer <ТОКЕН>'"""
    mcn.expect_refusal("unauthorized")
    url = f"{mcn.base_url}/account/{mcn.account_id}/flash_call?login_did={RUSSIAN}"
    given = ("", "Bearer another", f"Bearer {mcn.token}")
    answers = [requests.post(url, headers={"Authorization": header}, timeout=30) for header in given]
    assert [answer.status_code for answer in answers] == [401, 401, 200]


def test_numbers_are_in_international_form_without_a_plus(mcn: Account) -> None:
    """caller_did=79158888888&login_did=79157777777"""
    mcn.connect_number("79158888888")
    assert call_for_2fa(mcn, "79158888888", "79157777777").status_code == 200
    assert (mcn.calls[0].caller_did, mcn.calls[0].login_did) == ("79158888888", "79157777777")


def test_the_account_in_the_path_pays(mcn: Account) -> None:
    """именно на нем произойдет списание денег за услугу"""
    flash_call(mcn)
    assert mcn.balance == Decimal("99.85")


def test_call_for_2fa_costs_one_kopeck(mcn: Account) -> None:
    """звонок будет бесплатный, но сам вызов метода стоит 1 копейку"""
    mcn.connect_number(CONNECTED)
    call_for_2fa(mcn, CONNECTED)
    assert mcn.balance == Decimal("99.99")


def test_flash_call_costs_15_kopecks_from_a_russian_number(mcn: Account) -> None:
    """от 15 копеек, если он происходит с российского номера"""
    flash_call(mcn, country_id="643")
    assert mcn.calls[0].price == Decimal("0.15")


def test_flash_call_costs_45_kopecks_from_a_slovak_number(mcn: Account) -> None:
    """и 45 копеек, если он происходит со словацкого номера"""
    flash_call(mcn, country_id="703")
    assert mcn.calls[0].price == Decimal("0.45")


def test_caller_did_is_a_number_of_the_account(mcn: Account) -> None:
    """caller_did - номер телефона, подключенный на ЛСе из account_id"""
    mcn.expect_refusal("foreign_number")
    assert call_for_2fa(mcn, CONNECTED).status_code == 403
    mcn.connect_number(CONNECTED)
    assert call_for_2fa(mcn, CONNECTED).status_code == 200
    assert mcn.calls[0].caller_did == CONNECTED


def test_flash_call_needs_no_connected_number(mcn: Account) -> None:
    """Клиенту никаких номеров подключать для этого не нужно, звонки идут с наших номеров."""
    assert flash_call(mcn).status_code == 200


def test_the_callers_number_ends_in_the_code(mcn: Account) -> None:
    """4 цифры, на которые будет заканчиваться номер, с которого происходит звонок ЕСЛИ это поле заполнено"""
    flash_call(mcn, code="0042")
    assert mcn.calls[0].caller_did.endswith("0042")


@pytest.mark.parametrize("code", [{}, {"code": ""}])
def test_without_a_code_the_number_is_random(mcn: Account, code: dict[str, str]) -> None:
    """Если поле не заполнено - произойдет звонок со случайного номера."""
    for _ in range(10):
        flash_call(mcn, **code)
    assert len({call.caller_did for call in mcn.calls}) == 10


def test_a_russian_number_is_called_from_a_russian_one(mcn: Account) -> None:
    """По умолчанию мы звоним на российский номер с российского номера"""
    assert caller_of(mcn, RUSSIAN) == caller_of(mcn, RUSSIAN, country_id="") == "7"


@pytest.mark.parametrize("number", [KAZAKH, SLOVAK, "12025550123"])
def test_a_number_of_any_other_country_is_called_from_a_slovak_one(mcn: Account, number: str) -> None:
    """и на номер любой другой страны со словацкого номера"""
    assert caller_of(mcn, number) == caller_of(mcn, number, country_id="") == "421"


def test_country_id_703_calls_from_a_slovak_number(mcn: Account) -> None:
    """Если задано значение 703 - будет произведен звонок со словацкого номера"""
    assert caller_of(mcn, RUSSIAN, country_id="703") == "421"


def test_country_id_643_calls_from_a_russian_number(mcn: Account) -> None:
    """если задано значение 643 - с российского номера"""
    assert caller_of(mcn, SLOVAK, country_id="643") == "7"


def test_any_other_country_id_calls_from_a_russian_number(mcn: Account) -> None:
    """При всех остальных значениях поля будет произведен звонок с российского номера."""
    assert caller_of(mcn, SLOVAK, country_id="398") == "7"


def test_the_uuid_is_a_call_id_and_the_account(mcn: Account) -> None:
    """“fa278be48dc2_117793», где первая часть … — идентификатор звонка, а цифры после символа “_” — ЛС клиента"""
    uuid = flash_call(mcn).json()["object"]["verification_call_uuid"]
    call_id, _, account_id = uuid.partition("_")
    assert (len(call_id), account_id) == (12, mcn.account_id)
    assert set(call_id) <= set("0123456789abcdef")


def test_a_webhook_gets_each_calls_record(mcn: Account, receiver: Receiver) -> None:
    """подключить веб-хук “Flash call” и тогда на указанный URL будет приходить информация о звонке"""
    mcn.subscribe(receiver.url)
    placed = [flash_call(mcn).json()["object"]["verification_call_uuid"] for _ in range(2)]
    mcn.settle()
    assert sorted(cdr["verification_call_uuid"] for cdr in receiver.received) == sorted(placed)


def test_the_uuid_ties_the_cdr_to_the_request(mcn: Account, receiver: Receiver) -> None:
    """Код нужен, чтобы связать данные о звонке (CDR) с конкретным случаем вызова API."""
    mcn.subscribe(receiver.url)
    uuid = flash_call(mcn).json()["object"]["verification_call_uuid"]
    mcn.wait_for_cdr()
    assert receiver.received[0]["verification_call_uuid"] == uuid


def test_past_events_can_be_looked_at(mcn: Account, receiver: Receiver) -> None:
    """Просмотр событий также доступен в разделе «Мониторинг»"""
    mcn.subscribe(receiver.url)
    flash_call(mcn)
    mcn.wait_for_cdr()
    url = mcn.base_url.replace("/v2/rest", "/__admin/deliveries")
    (shown,) = requests.get(url, params={"account_id": mcn.account_id}, timeout=30).json()["items"]
    assert shown["cdr"] == receiver.received[0]


@pytest.mark.parametrize(
    "outcome,cdr",
    [
        (Outcome.ANSWERED, {"q931_status": 16, "final_status": "ANSWERED"}),
        (Outcome.BUSY, {"q931_status": 17, "final_status": "NO ANSWER"}),
        (Outcome.NO_ANSWER, {"q931_status": 16, "final_status": "NO ANSWER"}),
        (Outcome.REJECTED, {"q931_status": 31}),
    ],
)
def test_the_statuses_of_a_verification_call(
    mcn: Account, receiver: Receiver, outcome: Outcome, cdr: dict[str, object]
) -> None:
    """Callback — статусы верификационного звонка"""
    mcn.subscribe(receiver.url, body=["q931_status", "final_status"])
    mcn.set_outcome(outcome)
    flash_call(mcn)
    mcn.wait_for_cdr()
    assert receiver.received == [cdr]


@pytest.mark.parametrize("cause", [1, 20, 27, 127])
def test_any_other_status_is_an_unavailable_number(mcn: Account, receiver: Receiver, cause: int) -> None:
    """Все прочие коды «q931_status», отличные от 31, 16 или 17 — номер недоступен."""
    mcn.subscribe(receiver.url, body=["q931_status", "final_status"])
    mcn.set_outcome(q931_status=cause)
    flash_call(mcn)
    mcn.wait_for_cdr()
    assert (mcn.calls[0].outcome, receiver.received) == (Outcome.UNAVAILABLE, [{"q931_status": cause}])


def test_values_of_a_flat_object_keep_their_types_unless_set(mcn: Account, receiver: Receiver) -> None:
    """«q931_status»: 16"""
    mcn.subscribe(receiver.url, body=["q931_status"])
    mcn.subscribe(receiver.url, body=["q931_status"], values="text")
    flash_call(mcn)
    mcn.settle()
    assert sorted(receiver.received, key=str) == [{"q931_status": "16"}, {"q931_status": 16}]


def test_the_body_is_the_list_of_variables(mcn: Account, receiver: Receiver) -> None:
    """В поле «Тело запроса» указываются внутри массива JSON список переменных, которые будут передаваться на URL."""
    mcn.subscribe(receiver.url, body=["final_status", "q931_status"])
    flash_call(mcn)
    mcn.wait_for_cdr()
    assert list(receiver.received[0]) == ["final_status", "q931_status"]
