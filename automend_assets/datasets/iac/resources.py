"""What the documents of a file say: its resources, what they are called, which images they run, which GPUs they ask
for.

Here: reading facts out of parsed documents, and sorting a file into a type. Not here: the YAML (`documents.py`),
schemas (`kubernetes.py`), the words of a prompt (`prompts.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

IAC_TYPES = ("kserve", "seldon", "k8s_workload", "k8s_config")
"""What a file is, by the first of these that any of its resources is."""

WORKLOADS = frozenset(
    {
        "Pod",
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "ReplicaSet",
        "ReplicationController",
        "Job",
        "CronJob",
        "PodTemplate",
        # Kubeflow's, Argo's, Ray's, Spark's and Volcano's
        "TFJob",
        "PyTorchJob",
        "MPIJob",
        "MXJob",
        "XGBoostJob",
        "PaddleJob",
        "TrainJob",
        "Notebook",
        "Experiment",
        "Workflow",
        "CronWorkflow",
        "WorkflowTemplate",
        "ClusterWorkflowTemplate",
        "PipelineRun",
        "TaskRun",
        "RayCluster",
        "RayJob",
        "RayService",
        "SparkApplication",
        "ScheduledSparkApplication",
        "Rollout",
    }
)
_KSERVE_GROUPS = ("serving.kserve.io", "serving.kubeflow.org")
_SELDON_GROUPS = ("machinelearning.seldon.io", "mlops.seldon.io")
_KNATIVE_GROUP = "serving.knative.dev"


class Facts(NamedTuple):
    """What a file declares. `gpus` is the most GPUs that one container asks for; `images` are in order, each once."""

    kinds: list[str]
    api_versions: list[str]
    names: list[str]
    namespaces: list[str]
    images: list[str]
    gpus: int
    iac_type: str


def resources_of(documents: list[Any]) -> list[dict[str, Any]] | None:
    """The resources of a file, those of a `List` one by one; None when a document that is not empty is no
    resource."""
    resources: list[dict[str, Any]] = []
    for document in documents:
        if document is None:
            continue
        if not _is_resource(document):
            return None
        items = document.get("items")
        if document["kind"] == "List" and isinstance(items, list):
            if not all(map(_is_resource, items)):
                return None
            resources += items
        else:
            resources.append(document)
    return resources or None


def facts_of(resources: list[dict[str, Any]]) -> Facts:
    """What `resources` declare."""
    kinds = [resource["kind"] for resource in resources]
    versions = [resource["apiVersion"] for resource in resources]
    metadata = [found if isinstance(found := r.get("metadata"), dict) else {} for r in resources]
    images: dict[str, None] = {}
    gpus = 0
    for node in _objects(resources):
        image = node.get("image")
        if isinstance(image, str) and image.strip():
            images.setdefault(image.strip())
        for key in ("limits", "requests"):
            if isinstance(node.get(key), dict):
                gpus = max(gpus, _gpus(node[key]))
    return Facts(
        kinds,
        versions,
        _texts(meta.get("name") or meta.get("generateName") for meta in metadata),
        _texts(meta.get("namespace") for meta in metadata),
        list(images),
        gpus,
        iac_type(kinds, versions),
    )


def iac_type(kinds: list[str], versions: list[str]) -> str:
    """The type of a file with resources of these kinds and API versions, one of `IAC_TYPES`."""
    groups = [version.partition("/")[0] for version in versions]
    if any(group in _KSERVE_GROUPS for group in groups):
        return "kserve"
    if any(group in _SELDON_GROUPS for group in groups):
        return "seldon"
    workload = any(kind in WORKLOADS for kind in kinds) or _KNATIVE_GROUP in groups
    return "k8s_workload" if workload else "k8s_config"


def _is_resource(document: Any) -> bool:
    if not isinstance(document, dict):
        return False
    version, kind = document.get("apiVersion"), document.get("kind")
    return isinstance(version, str) and isinstance(kind, str) and bool(version.strip()) and bool(kind.strip())


def _objects(roots: list[Any]) -> Iterator[dict[str, Any]]:
    """Every object below `roots`, in order; the reader's limits bound how many there are."""
    waiting = list(reversed(roots))
    while waiting:
        node = waiting.pop()
        if type(node) is dict:
            yield node
            waiting += [value for value in reversed(node.values()) if type(value) in (dict, list)]
        else:
            waiting += [value for value in reversed(node) if type(value) in (dict, list)]


def _gpus(amounts: dict[str, Any]) -> int:
    total = 0
    for resource, amount in amounts.items():
        vendor, _, name = resource.partition("/")
        if name.startswith(("gpu", "mig-")) and vendor in ("nvidia.com", "amd.com", "gpu.intel.com"):
            text = str(amount).strip()
            total += int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 0
    return total


def _texts(values: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(value for value in values if isinstance(value, str) and value.strip()))
