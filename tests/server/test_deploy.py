"""The files of deploy/: YAML and JSON that parse, and no dashboard query without a metric of the service behind it."""

import importlib
import json
import re
from pathlib import Path

import pytest
import yaml

from structdiff.engines.vllm.plugin import untested
from structdiff.server.metrics import Metrics

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def test_every_query_of_the_dashboard_names_metrics_that_the_service_exports():
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "structdiff.json").read_text())
    metrics = Metrics()
    metrics.requests.labels("/v1/models", "200").inc()
    metrics.failures.labels("overloaded").inc()
    metrics.compile_cache.labels("hit").inc()
    metrics.seconds.labels("/v1/models").observe(1)
    exported = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    named = {name for query in queries for name in re.findall(r"structdiff_\w+", query)}
    assert len(dashboard["panels"]) == 11
    assert named <= exported, named - exported
    for gauge in ("running_rows", "queue_rows", "queue_age_seconds", "compile_queue"):
        assert f"structdiff_{gauge}" in named


def test_the_cluster_file_names_the_application_and_arguments_it_takes():
    pytest.importorskip("ray.serve")
    deployed = yaml.safe_load((DEPLOY / "serve.yaml").read_text())
    (one,) = deployed["applications"]
    module, name = one["import_path"].split(":")
    bound = getattr(importlib.import_module(module), name)(one["args"])
    assert type(bound).__name__ == "Application"


def test_the_compose_file_starts_three_services_from_files_that_exist():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert set(compose["services"]) == {"structdiff", "prometheus", "grafana"}
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            assert (DEPLOY / volume.split(":")[0]).exists(), volume
    scraped = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())["scrape_configs"][0]["static_configs"]
    assert scraped == [{"targets": ["structdiff:8000"]}]
    assert (DEPLOY / compose["services"]["structdiff"]["build"]["dockerfile"].removeprefix("deploy/")).is_file()


def test_the_files_for_vllm_start_what_the_plug_in_was_tested_with():
    image = (DEPLOY / "vllm.Dockerfile").read_text()
    version = re.search(r"^FROM vllm/vllm-openai:v(\S+)$", image, re.M)
    assert version and untested(version[1]) is None
    compose = yaml.safe_load((DEPLOY / "vllm-compose.yaml").read_text())
    assert (DEPLOY.parent / compose["services"]["vllm"]["build"]["dockerfile"]).is_file()
    service, deployment = yaml.safe_load_all((DEPLOY / "vllm-kubernetes.yaml").read_text())
    pod = deployment["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    (container,) = pod["spec"]["containers"]
    assert service["spec"]["ports"][0]["targetPort"] in [port["name"] for port in container["ports"]]
    assert {mount["name"] for mount in container["volumeMounts"]} == {one["name"] for one in pod["spec"]["volumes"]}
