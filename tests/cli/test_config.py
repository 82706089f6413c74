from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.sandbox import MCN_MOCK

from pytest_mcn_mock import ConfigError, ErrorStyle, NumberFormat, Outcome
from pytest_mcn_mock.cli import config
from pytest_mcn_mock.cli.config import find_lines
from pytest_mcn_mock.errors import RefusalCode

WHOLE = """
[server]
host = "127.0.0.1"
port = 8643
journal_size = 500
max_pending = 7
admin_token = "s3cret-of-the-admin"
allowed_hosts = ["mcn.example.test", "[::1]", "10.0.0.1"]
webhook_targets = ["localhost", "127.0.0.0/8"]
[tariff]
call_for_2fa = "0.02"
flash_call = { 703 = "0.65" }
paidmethods = { call_for_2fa = "0.03", flash_call = { 398 = "0.70" } }
[assumed]
error_status = { insufficient_funds = 200 }
error_style = "numeric"
error_number = { unauthorized = 7 }
paidmethods.error_status = { foreign_number = 409 }
paidmethods.call_for_2fa_body = { success = 1 }
paidmethods.other_country = 398
number_format = "pasted"
default_outcome = "no_answer"
retry_after_s = [0.5, 1]
[[account]]
id = 12345678
token = "test-token"
balance = "100.00"
credit = "5.00"
name = "Ветка «оплата»"
numbers = ["79158888888"]
seed = 1
[[account.webhook]]
url = "http://localhost:8000/webhooks/mcn"
body = ["verification_call_uuid", "q931_status", "final_status"]
[[account.outcome]]
login_did = "7915777*"
outcome = "busy"
delay_s = 2.0
[[account.outcome]]
q931_status = 27
"""
ACCOUNT = '[[account]]\nid = 1\ntoken = "s3cret"\n'
WEBHOOK = f"{ACCOUNT}[[account.webhook]]\nurl = 'http://h/'\n"
OUTCOME = f"{ACCOUNT}[[account.outcome]]\n"
TARGETS = "[server]\nwebhook_targets = ['127.0.0.0/8']\n"


def load(tmp_path: Path, text: str) -> config.Config:
    path = tmp_path / "mcn-mock.toml"
    path.write_text(text, encoding="utf-8")
    return config.load(path)


def test_every_part_of_a_file_is_read(tmp_path: Path) -> None:
    loaded = load(tmp_path, WHOLE)
    assert (loaded.host, loaded.port, loaded.settings.journal_size) == ("127.0.0.1", 8643, 500)
    assert (loaded.settings.tariff.call_for_2fa, dict(loaded.settings.tariff.flash_call)) == (2, {643: 15, 703: 65})
    paid_prices = loaded.settings.tariff.paidmethods
    assert (paid_prices.call_for_2fa, dict(paid_prices.flash_call)) == (3, {643: 15, 398: 70})
    assumed = loaded.settings.assumptions
    paid = assumed.paidmethods
    assert (paid.status_of(RefusalCode.FOREIGN_NUMBER), paid.status_of(RefusalCode.INSUFFICIENT_FUNDS)) == (409, 403)
    assert (paid.call_for_2fa_body, paid.other_country) == ({"success": 1}, 398)
    assert (assumed.error_style, assumed.number_of(RefusalCode.UNAUTHORIZED)) == (ErrorStyle.NUMERIC, 7)
    assert assumed.status_of(RefusalCode.INSUFFICIENT_FUNDS) == 200
    assert assumed.status_of(RefusalCode.UNAUTHORIZED) == 401
    assert (assumed.number_format, assumed.default_outcome) == (NumberFormat.PASTED, Outcome.NO_ANSWER)
    assert assumed.retry_after_s == (0.5, 1)
    (account,) = loaded.accounts
    assert (account.id, account.numbers, account.seed) == ("12345678", ("79158888888",), 1)
    assert (account.balance, account.credit, account.name) == ("100.00", "5.00", "Ветка «оплата»")
    assert account.subscriptions[0].url == "http://localhost:8000/webhooks/mcn"
    assert [rule.ending.q931_status for rule in account.outcome_rules] == [17, 27]
    assert (loaded.settings.max_pending, loaded.settings.webhook_targets) == (7, ["localhost", "127.0.0.0/8"])
    assert loaded.admin_token == "s3cret-of-the-admin"
    assert loaded.allowed_hosts == ("mcn.example.test", "[::1]", "10.0.0.1")
    assert not {"test-token", "s3cret-of-the-admin"} & set(re.findall(r"[\w-]+", repr(loaded)))


def test_a_file_without_an_account_has_the_built_in_one(tmp_path: Path) -> None:
    loaded = load(tmp_path, "\ufeff[server]\nport = 1234\n")  # with a byte order mark
    (account,) = loaded.accounts
    assert (loaded.port, account.id, account.token, account.balance) == (1234, "12345678", "test-token", "100.00")
    assert [account.balance for account in load(tmp_path, ACCOUNT).accounts] == ["100.00"]


def told(text: str, tmp_path: Path) -> str:
    with pytest.raises(ConfigError) as wrong:
        load(tmp_path, text)
    return str(wrong.value)


def places(error: str) -> set[tuple[int, str]]:
    """The line and the place of each mistake."""
    return {(int(line), place) for line, place in re.findall(r", line (\d+): ([^:]+):", error)}


def places_of(text: str) -> set[tuple[int, str]]:
    return {(int(line), place) for line, place in re.findall(r"(\d+) ([^\s;]+)", text)}


MISTAKES = [
    ("[serer]\n", "1: serer: is unknown; did you mean 'server'?"),
    ("[server]\nprot = 1\n", "2: server.prot: is unknown; did you mean 'port'?"),
    ("[server]\nport = 70000\n", "2: server.port: 70000 is more than 65535"),
    ("[server]\nhost = 5\n", "2: server.host: 5 is a whole number; write text in quotes"),
    ("[server]\nhost = ''\n", "2: server.host: it is empty"),
    ("host = 'x'\n", "1: host: is unknown; it belongs to [server]"),
    ("[[server]]\nadmin_token = 's3cret'\n", "1: server: it is a list; write [server], with one pair of brackets"),
    ("server = 's3cret'\n", "1: server: the value is text; write a table"),
    ("[server]\njournal_size = inf\n", "2: server.journal_size: inf is a number with a fraction; write a whole number"),
    ("[server]\nadmin_token = 's3cret'\n", "2: server.admin_token: it is not 8 to 512 visible ASCII characters"),
    ("[server]\nadmin_token = ['s3cret']\n", "2: server.admin_token: the value is a list; write 8 to 512 visible"),
    ("[server]\nallowed_hosts = ['a b']\n", "2: server.allowed_hosts[0]: 'a b' is not a host"),
    ("[server]\nallowed_hosts = [5]\n", "2: server.allowed_hosts[0]: 5 is a whole number; write a host, such as"),
    ("[server]\nmax_pending = 0\n", "2: server.max_pending: 0 is less than 1"),
    ("[server]\nwebhook_targets = ['127.0.0.1/8']\n", "2: server: webhook_targets: '127.0.0.1/8' is not a network"),
    ("[server]\nstate = 5\nbalance = 1\n", "3: server.balance: is unknown; it belongs to [account]"),
    ("[tariff]\nflash_call = { 643 = 0.15 }\n", "2: tariff.flash_call.643: 0.15 is a number with a fraction; write"),
    ("[tariff]\ncall_for_2fa = '-1'\n", "2: tariff.call_for_2fa: '-1' is not roubles as text, such as"),
    ("[tariff]\nflash_call = { 7 = '1' }\n", "2: tariff.flash_call.7: is unknown"),
    ("[tariff.paidmethods]\nflash_call = { 703 = '1' }\n", "2: tariff.paidmethods.flash_call.703: is unknown"),
    ("[tariff]\npaidmethods = { call_2fa = '1' }\n", "2: tariff.paidmethods.call_2fa: is unknown"),
    ("[assumed]\nerror_style = 'number'\n", "2: assumed.error_style: 'number' is not one of words, numeric"),
    (
        "[assumed.paidmethods]\nother_country = 703\n",
        "2: assumed.paidmethods.other_country: 703 is not one of 643,",
    ),
    (
        "[assumed.paidmethods]\nother_country = '643'\n",
        "2: assumed.paidmethods.other_country: '643' is text; write",
    ),
    ("[assumed.paidmethods]\nerror_body = { x = 2026-01-01 }\n", "2: assumed: paidmethods.error_body has a"),
    ("[assumed]\nack_timeout_s = 0\n", "2: assumed.ack_timeout_s: 0 must be more than 0"),
    (
        "[assumed]\nunavailable_cause = 16\n",
        "2: assumed: invalid unavailable_cause 16: the article gives it another meaning",
    ),
    ("[[account]]\nid = 1\n", "1: account[0].token: is missing"),
    ("[[account]]\nid = 'x'\n", "2: account[0].id: the value is text; write a whole number, such as 12345678"),
    ("[[account]]\ntoken = 's3cret x'\n", "2: account[0].token: it is not 1 to 512"),
    ("[account]\ntoken = 's3cret'\n", "1: account: it is one table; write [[account]]"),
    (
        ACCOUNT + "balance = 1.5\n",
        "4: account[0].balance: 1.5 is a number with a fraction; write roubles as text, such",
    ),
    (ACCOUNT + "balance = '0.001'\n", "4: account[0]: invalid balance 0.001: it has a fraction"),
    (ACCOUNT + "balance = 'limitless'\n", "4: account[0]: invalid balance 'limitless'"),
    (ACCOUNT + "credit = '-0.01'\n", "4: account[0]: invalid credit -0.01: a credit is not negative"),
    (ACCOUNT + "name = 5\n", "4: account[0].name: "),
    (ACCOUNT + 'name = "a\\u202eb"\n', "4: account[0].name: "),
    (ACCOUNT + f"name = '{'x' * 101}'\n", "4: account[0].name: it is longer than 100 characters"),
    (ACCOUNT + "credit = 0.5\n", "4: account[0].credit: 0.5 is a number with a fraction; write roubles as text, such"),
    (ACCOUNT + "credit = 'unlimited'\n", "4: account[0]: invalid credit 'unlimited'"),
    (ACCOUNT + "unlimited = true\n", "4: account[0].unlimited: is unknown"),
    (ACCOUNT + "\n\nbalance.roubles = 5\n", "6: account[0].balance: the value is a table; write roubles as text"),
    (ACCOUNT + "numbers = ['x']\n", "4: account[0]: invalid number 'x'"),
    (ACCOUNT + "numbers = 's3cret'\n", "4: account[0].numbers: the value is text; write a list"),
    (ACCOUNT + "seed = 's3cret'\n", "4: account[0].seed: the value is text; write a whole number"),
    (ACCOUNT + ACCOUNT, "2: account[0].id: the id 1 is also"),
    (ACCOUNT + ACCOUNT, "5: account[1].id: the id 1 is also"),
    (ACCOUNT + ACCOUNT, "3: account[0].token: the token is also"),
    (
        ACCOUNT + "webhook = 'http://u:s3cret@h/'\n",
        "4: account[0].webhook: the value is text; write [[account.webhook]]",
    ),
    (ACCOUNT + "[account.webhook.headers]\nX = 's3cret'\n", "4: account[0].webhook: it is one table; write [[account."),
    (ACCOUNT + "[[account.webhook]]\nurl = 'ftp://x'\n", "5: account[0].webhook[0]: url 'ftp://x' is not an http"),
    (
        ACCOUNT + "[[account.webhook]]\nurl = ['http://u:s3cret@h/']\n",
        "5: account[0].webhook[0].url: the value is a list",
    ),
    (
        ACCOUNT + "[[account.webhook]]\nurl = 'u:s3cret@h/'\n",
        "5: account[0].webhook[0]: url '***@h/' is not an http or https URL",
    ),
    (
        ACCOUNT + "[[account.webhook]]\nurl = 'http://u:s3/cret@h:x/'\n",
        "5: account[0].webhook[0]: url 'http://***@h:x/'",
    ),
    (ACCOUNT + "[[account.webhook]]\nurl = 'http://h /?s3cret'\n", "5: account[0].webhook[0]: url 'http://h /?***'"),
    (
        WEBHOOK + "body = ['final']\n",
        "6: account[0].webhook[0]: body: variable 'final' is unknown; did you mean 'final_",
    ),
    (WEBHOOK + "headers = 'X-Key: s3cret'\n", "6: account[0].webhook[0].headers: the value is text; write a table"),
    (
        WEBHOOK + "headers = { 'X-Key: s3cret' = 1 }\n",
        "6: account[0].webhook[0].headers.X-Key: the value is a whole number",
    ),
    (WEBHOOK + "headers = { 'X Y: s3cret' = '1' }\n", "6: account[0].webhook[0]: headers: 'X' cannot be"),
    (WEBHOOK + "headers = { X = ['s3cret'] }\n", "6: account[0].webhook[0].headers.X: the value is a list; write text"),
    (
        WEBHOOK + "constants = { a = ['s3cret'] }\n",
        "6: account[0].webhook[0].constants.a: the value is a list; write text",
    ),
    (WEBHOOK + "rety = false\n", "6: account[0].webhook[0].rety: is unknown; did you mean 'retry'?"),
    (
        TARGETS + WEBHOOK.replace("//h", "//10.0.0.1"),
        "7: account[0].webhook[0]: url: 10.0.0.1 is not among the webhook_targets, which are 127.0.0.0/8",
    ),
    (OUTCOME + "outcome = 'bussy'\n", "5: account[0].outcome[0].outcome: 'bussy' is not one of"),
    (OUTCOME + "delay_s = 1\n", "4: account[0].outcome[0]: give exactly one of outcome"),
    (OUTCOME + "outcome = 'busy'\nq931_status = 200\n", "6: account[0].outcome[0].q931_status: 200 is more than 127"),
    ("\n[a.b]\n", "2: a: is unknown"),
    ("\n'' = 's3cret'\n", '2: "": is unknown'),
    ("[server]\nport = 1\ntoken = s3cret\n", "3: is not valid TOML"),
    ("a = 1\na = 2\n", "2: is not valid TOML"),
]


@pytest.mark.parametrize("text,said", MISTAKES)
def test_a_mistake_is_a_sentence_with_its_place_and_without_a_secret(tmp_path: Path, text: str, said: str) -> None:
    error = told(text, tmp_path)
    assert f"{tmp_path / 'mcn-mock.toml'}, line {said}" in error
    assert "s3cret" not in error


MANY = """[server]
port = 70000
prot = 1
webhook_targets = [
  "localhost",
  "10.0.0.1/8",
]
[assumed]
unavailable_cause = 16
retry_after_s = [1, -5]
error_body = { when = 2026-01-01 }
[[account]]
tokne = "s3cret"
balance = 100.5
numbers = ["79158888888", "x",
           "y"]
[[account.webhook]]
method = "PUT"
body = ["final"]
headers = { "X Y" = "s3cret", ok = 1 }
[[account.webhook]]
url = "ftp://user:s3cret@host/?key=s3cret"
[account.webhook.query]
a = true
[[account.outcome]]
outcome = "bussy"
login_did = "79*x"
[[account]]
id = "s3cret"
token = 5
outcome = [{ delay_s = 1 }, { outcome = "busy", q931_status = 17 }]
[webhook]
[[account]]
id = 7
token = "t"
[[account]]
id = 7
token = "t"
"""


def test_every_mistake_is_told_in_one_round_with_its_line(tmp_path: Path) -> None:
    text = told(MANY, tmp_path)
    assert places(text) == places_of("""
        2 server.port; 3 server.prot; 6 server; 9 assumed; 10 assumed.retry_after_s[1]; 11 assumed
        12 account[0].id; 13 account[0].tokne; 14 account[0].balance; 15 account[0]; 16 account[0]
        17 account[0].webhook[0].url; 18 account[0].webhook[0].method; 19 account[0].webhook[0]
        20 account[0].webhook[0]; 20 account[0].webhook[0].headers.ok; 22 account[0].webhook[1]
        24 account[0].webhook[1].query.a; 26 account[0].outcome[0].outcome; 27 account[0].outcome[0].login_did
        29 account[1].id; 30 account[1].token; 31 account[1].outcome[0]; 31 account[1].outcome[1]
        32 webhook; 34 account[2].id; 35 account[2].token; 37 account[3].id; 38 account[3].token
    """)
    assert "s3cret" not in text
    assert "write [[account.webhook]]" in text
    assert "did you mean 'token'?" in text
    assert "did you mean 'busy'?" in text
    assert [line for line in text.splitlines() if "must be string" in line or "^" in line or "{" in line] == []


@pytest.mark.parametrize(
    "mistake",
    [
        "data_type = 'text'\ntemplate = 5\n",
        "data_type = 5\ntemplate = 'x'\n",
        "filter = [{ variabl = 'number', value = 1 }]\n",
        "filter = [{ variable = 'number', valu = 1 }]\n",
        "filter = [{ variable = 'number' }]\n",
        "filter = [{ variable = 'number', value = 1.5 }]\n",
    ],
)
def test_what_depends_on_a_wrong_value_is_not_reported_as_a_mistake_of_its_own(tmp_path: Path, mistake: str) -> None:
    assert len(told(WEBHOOK + mistake, tmp_path).splitlines()) == 1


HALF_ALLOWED = """[server]
state = "mysql://u:s3cret@h/x"
journal_size = 0
allowed_hosts = ["http://u:s3cret@h/"]
webhook_targets = [
  5,
  "http://u:s3cret@h/?s3cret",
]
[assumed]
retry_after_s = [-1,
  nan]
[[account]]
id = 1
token = "t"
numbers = [
  5,
  "x",
]
[[account.webhook]]
url = "http://h/"
body = [
  5,
  "q931_statu",
]
headers = { A = 5, "B c" = "s3cret" }
"""


def test_what_is_wrong_beside_an_item_of_another_type_is_told_in_the_same_round(tmp_path: Path) -> None:
    text = told(HALF_ALLOWED, tmp_path)
    lines = [int(line) for line in re.findall(r", line (\d+): ", text)]
    assert lines == [2, 3, 4, 6, 7, 10, 11, 16, 17, 22, 23, 25, 25]
    assert "s3cret" not in text


def test_webhooks_are_compared_with_their_targets_whatever_else_is_wrong(tmp_path: Path) -> None:
    server = "[server]\nport = 'x'\njournal_size = 0\nwebhook_targets = ['10.0.0.0/8']\n"
    text = told(f"{server}{ACCOUNT}[[account.webhook]]\nurl = 'http://11.0.0.1/'\n", tmp_path)
    assert re.findall(r", line (\d+): ", text) == ["2", "3", "9"]


def test_what_is_in_a_table_with_the_wrong_brackets_is_looked_at_too(tmp_path: Path) -> None:
    text = """[[server]]
port = 70000
[account]
id = 1
balance = 1.5
numbers = ["x"]
[account.webhook]
url = "ftp://h/"
body = ["final"]
[account.outcome]
outcome = "bussy"
"""
    assert places(told(text, tmp_path)) == places_of("""
        1 server; 2 server.port; 3 account; 3 account[0].token; 5 account[0].balance; 6 account[0]
        7 account[0].webhook; 8 account[0].webhook[0]; 9 account[0].webhook[0]
        10 account[0].outcome; 11 account[0].outcome[0].outcome
    """)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        config.load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"[server]\n# \xff")
    with pytest.raises(ConfigError, match=r"latin.toml, line 2: is not UTF-8"):
        config.load(tmp_path / "latin.toml")
    assert "is not valid TOML" in told(f"a = {'1' * 5000}", tmp_path)
    assert "is nested too deep" in told(".".join("x" * 3000) + " = 1", tmp_path)


def test_the_command_ends_with_status_2_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "mcn-mock.toml"
    path.write_text("[server]\nprot = 1\n[tarif]\n")
    done = subprocess.run(
        [MCN_MOCK, "serve", "--config", str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"{path}, line 2: server.prot: is unknown; did you mean 'port'?\n"
        f"{path}, line 3: tarif: is unknown; did you mean 'tariff'?\n"
    )


DOCUMENT = '''# a comment with [brackets] and = signs
[server] # host = "not this one"
host = "a#b" # nor this
"journal size" = 1
allowed_hosts = [ # one
  "a", 'b',
  """x
y\\"""" ,
]
tariff.flash_call = { 643 = "0.15", 703 = [1, {a = 2}] }
[[account]]
id = 1
[[account.webhook]]
url = "u"
headers = { "X-Key" = "s", 'Y' = 1979-05-27 07:32:00 }
[[account.webhook]]
url = \'\'\'
z\'\'\'
[account.webhook.headers]
A = "b"
[[account]]
a.b.c = 1
[[account.webhook]]
url = 1.5e3
[x]
'''


def test_every_value_of_a_document_has_its_line() -> None:
    lines = find_lines(DOCUMENT)
    text = DOCUMENT.splitlines()

    def walk(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
        if path:
            yield path
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in items:
            yield from walk(item, (*path, key))

    paths = set(walk(tomllib.loads(DOCUMENT)))
    assert paths == set(lines)
    for path in paths:
        if isinstance(path[-1], str):
            assert path[-1] in text[lines[path] - 1], path
    assert lines["server", "allowed_hosts", 2] == 7
    assert [lines["account", n] for n in (0, 1)] == [11, 21]
    assert [lines["account", 0, "webhook", n, "url"] for n in (0, 1)] == [14, 17]
    assert lines["account", 1, "webhook", 0, "url"] == 24


def test_the_lines_are_counted_as_an_editor_does() -> None:
    assert find_lines("a = 1\r\nb = 2\r\n") == {("a",): 1, ("b",): 2}
    assert find_lines("") == {}
