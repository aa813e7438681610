"""Kubernetes' schemas: what they accept and refuse, that custom APIs are counted, and that errors hold no value."""

from __future__ import annotations

from typing import Any

import pytest

from automend_assets.datasets.iac.kubernetes import MAX_ERRORS, check_resources
from automend_assets.datasets.iac.kubernetes_schemas import RELEASES, definitions


def deployment(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "x", "labels": {"a": "b"}},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        }
        | spec,
    }


def test_a_good_deployment_is_valid() -> None:
    resource = deployment(replicas=2, strategy={"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}})
    verdict = check_resources([resource])
    assert (verdict.result, verdict.known, verdict.unknown, verdict.errors) == ("valid", 1, 0, [])


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"replicas": "two"}, "type", "spec/replicas"),
        ({"replcias": 2}, "additionalProperties", "spec"),
        ({"selector": None, "template": {}}, None, None),
        (
            {"template": {"spec": {"containers": [{"image": "i"}]}}},
            "required",
            "spec/template/spec/containers/0",
        ),
        ({"template": {"spec": {"containers": "none"}}}, "type", "spec/template/spec/containers"),
    ],
)
def test_a_bad_one_is_invalid_with_code_and_path(
    change: dict[str, Any], code: str | None, path: str | None
) -> None:
    verdict = check_resources([deployment(**change)])
    if code is None:
        assert verdict.result == "valid"  # null is "not set" to Kubernetes
        return
    assert verdict.result == "invalid"
    assert (0, code, path) in verdict.errors


def test_labels_that_are_no_strings_are_refused() -> None:
    resource = deployment() | {"metadata": {"name": "x", "labels": {"version": 1.5}}}
    assert check_resources([resource]).errors == [(0, "type", "metadata/labels/version")]


def test_custom_resources_are_counted_and_not_failed() -> None:
    custom = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "spec": {"anything": 1}}
    verdict = check_resources([custom, custom])
    assert (verdict.result, verdict.known, verdict.unknown) == ("unknown", 0, 2)
    verdict = check_resources([custom, deployment()])
    assert (verdict.result, verdict.known, verdict.unknown) == ("valid", 1, 1)


@pytest.mark.parametrize(
    "kind",
    [
        "extensions/v1beta1/Deployment",
        "apps/v1beta1/Deployment",
        "batch/v1beta1/CronJob",
        "networking.k8s.io/v1beta1/Ingress",
        "autoscaling/v2beta2/HorizontalPodAutoscaler",
        "policy/v1beta1/PodSecurityPolicy",
        "v1/Secret",
        "resource.k8s.io/v1/DeviceClass",
    ],
)
def test_apis_of_ten_years_are_known(kind: str) -> None:
    assert kind in definitions()["kinds"]
    assert definitions()["releases"] == list(RELEASES)


def test_errors_hold_no_value_and_are_bounded() -> None:
    secret = "hunter" + "2hunter2"
    resource = {"apiVersion": "v1", "kind": "ConfigMap", "data": {f"k{n}": [secret] for n in range(100)}}
    verdict = check_resources([resource])
    assert len(verdict.errors) == MAX_ERRORS
    assert secret not in str(verdict)
