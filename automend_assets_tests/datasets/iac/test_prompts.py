"""Prompts: the rule by file name as the original has it, sentences over facts, the choice by the seed alone."""

from __future__ import annotations

import pytest

from automend_assets.datasets.iac.prompts import FILE_NAME_RULES, file_name_prompt, prompt_for, prompt_type
from automend_assets.datasets.iac.resources import facts_of, resources_of

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "trainer", "namespace": "ml"},
    "spec": {
        "containers": [
            {"name": "c", "image": "ghcr.io/a/b:1", "resources": {"limits": {"nvidia.com/gpu": "2"}}}
        ]
    },
}


def prompts(resources: list[dict], path: str = "x/pod.yaml", keys: int = 300) -> set[str]:
    facts = facts_of(resources)
    return {prompt_for(path, facts, key=str(key), seed=1).text for key in range(keys)}


@pytest.mark.parametrize(
    ("path", "kind", "text"),
    [
        ("gpu-model-server.yaml", "gpu", "Apply the GPU serving configuration: gpu model server."),
        ("a/b/my_deployment.v2.yml", "deploy", "Deploy the workload: my deployment v2."),
        ("svc/service-deploy.yaml", "deploy", "Deploy the workload: service deploy."),
        ("inference-service.yaml", "service", "Create the service: inference service."),
        ("inferenceservice.yaml", "inference", "Deploy the inference service: inferenceservice."),
        ("retrain.yaml", "anything", "Apply the Kubernetes manifest: retrain."),
        ("TRAINING.YAML", "train", "Launch the training workload: training."),
        ("configmap.yaml", "config", "Apply the configuration: configmap."),
        ("", "anything", "Apply the Kubernetes manifest: manifest."),
        ("---.yaml", "anything", "Apply the Kubernetes manifest: manifest."),
    ],
)
def test_the_first_rule_that_fits_the_file_name(path: str, kind: str, text: str) -> None:
    assert prompt_type(path) == kind
    assert file_name_prompt(path) == text


def test_every_rule_can_be_the_first() -> None:
    assert {prompt_type(f"{word or 'other'}.yaml") for _, word, _ in FILE_NAME_RULES} == {
        r for r, _, _ in FILE_NAME_RULES
    }


def test_facts_of_a_resource_find_their_way_into_sentences() -> None:
    found = prompts([POD])
    assert "Apply the Kubernetes manifest: pod." in found
    assert "Create the Pod trainer in the namespace ml." in found
    assert "Run ghcr.io/a/b:1 as the Pod trainer." in found
    assert "Schedule the Pod trainer with 2 GPUs per container." in found
    assert len(found) >= 10


def test_of_several_resources_no_single_kind_is_named() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "trainer"}}
    found = prompts([POD, service, service])
    assert "Set up a Pod and 2 Service resources for trainer." in found
    assert not any(text.startswith("Create the Pod") for text in found)


def test_names_that_are_placeholders_are_not_spoken() -> None:
    facts = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "<EMAIL_1>", "namespace": "{{ns}}"}}
    assert prompts([facts]) == {"Apply the Kubernetes manifest: pod."}


def test_the_seed_and_the_key_decide() -> None:
    facts = facts_of([POD])
    first = [prompt_for("pod.yaml", facts, key=str(key), seed=1).text for key in range(50)]
    assert first == [prompt_for("pod.yaml", facts, key=str(key), seed=1).text for key in range(50)]
    assert first != [prompt_for("pod.yaml", facts, key=str(key), seed=2).text for key in range(50)]


def test_lists_are_taken_apart_and_what_is_no_resource_is_told() -> None:
    assert resources_of([{"apiVersion": "v1", "kind": "List", "items": [POD, POD]}, None]) == [POD, POD]
    assert resources_of([{"apiVersion": "v1", "kind": "List", "items": [{"a": 1}]}]) is None
    assert resources_of([POD, {"a": 1}]) is None
    assert resources_of([None]) is None
    assert resources_of(["text"]) is None
