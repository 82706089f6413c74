"""The examples under deploy/replicas: what of them can be tried without containers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import requests
import yaml
from helpers.client import RUSSIAN
from helpers.nginx import needs_nginx, running_nginx
from helpers.postgres import Cluster
from helpers.sandbox import running_sandbox

from pytest_mcn_mock.cli import config
from pytest_mcn_mock.cli.commands import mcn_mock

DEPLOY = Path(__file__).parents[2] / "deploy/replicas"
OPTIONS = {option for parameter in mcn_mock.commands["serve"].params for option in parameter.opts}
VARIABLES = {str(getattr(parameter, "envvar", "")) for parameter in mcn_mock.commands["serve"].params} | {
    "MCN_MOCK_REPLICA"
}
CONFIG = '[server]\nallowed_hosts = ["mcn.example.test"]\n'
TOKEN = "an-admin-token"


def read(name: str) -> list[Any]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def check_sandbox(arguments: list[str], variables: set[str], file: str, tmp_path: Path) -> None:
    assert arguments[0] == "serve"
    assert {argument.partition("=")[0] for argument in arguments[1:]} <= OPTIONS
    assert variables <= VARIABLES
    assert {"MCN_MOCK_STATE", "MCN_MOCK_ADMIN_TOKEN", "MCN_MOCK_REPLICA"} <= variables
    path = tmp_path / "mcn-mock.toml"
    path.write_text(file, encoding="utf-8")
    assert config.load(path).settings.state is None  # the URL has a password


def test_the_compose_file_has_three_sandboxes_of_the_same_kind_and_their_database(tmp_path: Path) -> None:
    (document,) = read("compose.yaml")
    services = document["services"]
    sandboxes = {name: service for name, service in services.items() if "build" in service}
    assert len(sandboxes) == 3
    for name, service in sandboxes.items():
        environment = service["environment"]
        assert environment["MCN_MOCK_REPLICA"] == name
        check_sandbox(service["command"], set(environment), document["configs"]["mcn-mock"]["content"], tmp_path)
    servers = re.findall(r"server (\S+):8643", (DEPLOY / "nginx.conf").read_text(encoding="utf-8"))
    assert servers == list(sandboxes)
    assert set(services) == {*sandboxes, "nginx", "postgres"}
    assert {name for name, service in services.items() if "ports" in service} == {"nginx"}


def test_the_manifest_restarts_one_after_the_other_and_keeps_the_password_out(tmp_path: Path) -> None:
    documents = {document["kind"]: document for document in read("kubernetes.yaml")}
    assert set(documents) == {"ConfigMap", "Deployment", "Service", "PodDisruptionBudget"}
    deployment = documents["Deployment"]["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    file = documents["ConfigMap"]["data"]["mcn-mock.toml"]
    variables = {each["name"]: each for each in container["env"]}
    check_sandbox(container["args"], set(variables), file, tmp_path)
    assert "secretKeyRef" in variables["MCN_MOCK_STATE"]["valueFrom"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    paths = [container[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")]
    assert paths == ["/__admin/health/ready", "/__admin/health/live"]
    wait_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= wait_s + 25
    labels = deployment["template"]["metadata"]["labels"]
    assert documents["Service"]["spec"]["selector"] == labels
    assert documents["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert documents["PodDisruptionBudget"]["spec"]["minAvailable"] < deployment["replicas"]


@needs_nginx
def test_nginx_asks_another_sandbox_if_one_is_gone_and_repeats_no_order(cluster: Cluster, tmp_path: Path) -> None:
    url = cluster.new_url()
    arguments = ("--state", url, "--admin-token", TOKEN)
    with (
        running_sandbox(*arguments, config=CONFIG) as one,
        running_sandbox(*arguments, config=CONFIG) as two,
        running_sandbox(*arguments, config=CONFIG) as three,
    ):
        text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
        for number, sandbox in enumerate((one, two, three), 1):
            text = text.replace(f"mcn-{number}:8643", sandbox.url.removeprefix("http://"))
        with running_nginx(tmp_path, lambda port: text.replace("listen 8643", f"listen 127.0.0.1:{port}")) as port:
            admin = {"Authorization": f"Bearer {TOKEN}"}

            def order() -> int:
                return requests.post(
                    f"http://127.0.0.1:{port}/v2/rest/account/12345678/flash_call",
                    params={"login_did": RUSSIAN},
                    headers={"Authorization": "Bearer test-token"},
                    timeout=30,
                ).status_code

            def get(path: str) -> Any:
                return requests.get(f"http://127.0.0.1:{port}/__admin/{path}", headers=admin, timeout=30).json()

            assert {get("health")["replica"] for _ in range(12)} == {
                sandbox.admin("health")["replica"] for sandbox in (one, two, three)
            }
            assert [order() for _ in range(6)] == [200] * 6
            fault = {"kind": "reset", "times": 6}
            faults = f"{one.url}/__admin/accounts/12345678/faults"
            assert requests.put(faults, json={"items": [fault]}, headers=admin, timeout=30).status_code == 200
            assert [order() for _ in range(6)] == [502] * 6, "nginx repeats no order"
            assert [order() for _ in range(6)] == [200] * 6, "a connection that was reset takes no sandbox away"
            one.process.kill()
            one.process.wait()
            assert two.stop()[0] == 0
            assert [order() for _ in range(6)] == [200] * 6
            assert len(get("calls?limit=100")["items"]) == 24
            # A session of the page holds at each of them.
            session = requests.Session()
            signed_in = session.post(f"http://127.0.0.1:{port}/__admin/session", json={"token": TOKEN}, timeout=30)
            assert signed_in.status_code == 200
            with running_sandbox(*arguments, config=CONFIG) as four:
                asked = requests.get(f"{four.url}/__admin/calls", cookies=session.cookies.get_dict(), timeout=30)
                assert asked.status_code == 200
