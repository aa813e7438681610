"""Generated YAML files in the exact layout of a shard of the-stack-dedup, with the truth about each.

What belongs here: how a file is put together, its truth, the Parquet file. What does not: the words
(`sample_texts.py`), and any reading of files (`documents.py` and on). The truth is noted while a file is built, never
read back from its text, so it can judge the filters and the redaction.

    python -m automend_assets.datasets.iac.sample --rows 2000 --out FILE [--truth FILE]

Files are drawn one after the other from one seeded stream. Secrets and personal data are drawn too: none is
anybody's.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import yaml

from automend_assets.datasets.iac import sample_texts as texts

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of a file.

    reason: the code that must refuse it, or None when it must become a manifest. Of files that are alike,
    `near_duplicate` ones may be refused as such in place of the one that they repeat. planted: (kind, value) of every
    secret and every piece of personal data, as a reader of the YAML sees it.
    """

    reason: str | None
    iac_type: str | None
    documents: int
    planted: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class File:
    """One generated row: path, repository, licences and content, with its truth."""

    path: str
    repo: str
    licenses: tuple[str, ...]
    content: str
    truth: Truth

    @property
    def hexsha(self) -> str:
        """Git's name of the content."""
        data = self.content.encode()
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass
class _Draft:
    """A file in the making."""

    name: str
    documents: list[Object]
    iac_type: str
    planted: list[tuple[str, str]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)


def generate(rows: int, seed: int = 42) -> Iterator[File]:
    """Generate `rows` files, the same for the same seed."""
    draw = Random(seed)  # noqa: S311
    kinds: list[tuple[float, Callable[[Random, list[File]], File]]] = [
        (0.48, _manifest_file),
        (0.16, _helm_file),
        (0.13, _other_yaml),
        (0.08, _without_ml),
        (0.03, _other_licence),
        (0.04, _repeated),
        (0.02, _nearly_repeated),
        (0.02, _broken),
        (0.02, _odd_layout),
        (0.01, _mixed_documents),
        (0.01, _short),
    ]
    made: list[File] = []
    weights = [share for share, _ in kinds]
    for _ in range(rows):
        (_, make), *_ = draw.choices(kinds, weights)
        file = make(draw, made)
        made.append(file)
        yield file


# --- files that are kept ---


def _manifest_file(draw: Random, made: list[File]) -> File:
    draft = _draft(draw)
    return _finished(draw, draft, _dumped(draw, draft), _licences(draw), None)


def _draft(draw: Random) -> _Draft:
    (make,) = draw.choices(
        (
            _deployment,
            _training_job,
            _workflow,
            _cron_job,
            _stateful_set,
            _inference_service,
            _serving_runtime,
            _seldon_deployment,
            _config_map,
            _secret,
            _rbac,
            _ingress,
            _claim,
        ),
        (14, 8, 10, 5, 5, 12, 6, 9, 7, 6, 6, 4, 4),
    )
    draft = make(draw)
    if draw.random() < 0.22:
        draft.comments.append(
            texts.HEADER.format(year=draw.randint(2019, 2024), owner=draw.choice(texts.OWNERS))
        )
    if draw.random() < 0.10:
        person, mail = _person(draw)
        draft.comments.append(f"# Maintained by {person} <{mail}>")
        draft.planted.append(("email", mail))
    return draft


def _deployment(draw: Random) -> _Draft:
    name = _name(draw, draw.choice(("inference", "gpu", "predictor", "inference-deployment")))
    planted: list[tuple[str, str]] = []
    workload: Object = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(draw, name, planted),
        "spec": {
            "replicas": draw.randint(1, 6),
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name, "tier": draw.choice(texts.TIERS)}},
                "spec": _pod(draw, name, planted, gpu=0.6),
            },
        },
    }
    documents = [workload]
    if draw.random() < 0.35:
        documents.append(_service(draw, name, workload["metadata"].get("namespace")))
    if draw.random() < 0.15:
        documents.append(_autoscaler(draw, name))
    return _Draft(f"{name}.yaml", documents, "k8s_workload", planted)


def _training_job(draw: Random) -> _Draft:
    kind, group, section = draw.choice(
        (
            ("TFJob", "kubeflow.org/v1", "tfReplicaSpecs"),
            ("PyTorchJob", "kubeflow.org/v1", "pytorchReplicaSpecs"),
            ("MPIJob", "kubeflow.org/v2beta1", "mpiReplicaSpecs"),
        )
    )
    name = _name(draw, "train")
    planted: list[tuple[str, str]] = []
    replicas = {
        role: {
            "replicas": draw.randint(1, 8),
            "restartPolicy": draw.choice(("OnFailure", "Never", "ExitCode")),
            "template": {"spec": _pod(draw, name, planted, gpu=0.8)},
        }
        for role in draw.sample(("Master", "Worker", "Launcher", "PS", "Chief"), draw.randint(1, 2))
    }
    job = {
        "apiVersion": group,
        "kind": kind,
        "metadata": _metadata(draw, name, planted),
        "spec": {section: replicas, "runPolicy": {"cleanPodPolicy": draw.choice(("None", "All", "Running"))}},
    }
    return _Draft(f"{name}.yaml", [job], "k8s_workload", planted)


def _workflow(draw: Random) -> _Draft:
    name = _name(draw, "pipeline")
    planted: list[tuple[str, str]] = []
    steps = draw.sample(texts.STEPS, draw.randint(2, 4))
    templates: list[Object] = [
        {
            "name": "main",
            "steps": [
                [
                    {
                        "name": step,
                        "template": step,
                        "arguments": {
                            "parameters": [{"name": "message", "value": "{{workflow.parameters.message}}"}]
                        },
                    }
                ]
                for step in steps
            ],
        }
    ]
    for step in steps:
        container = _container(draw, step, planted, gpu=0.3)
        container["command"] = ["python", f"{step.replace('-', '_')}.py"]
        container["args"] = ["--input", "{{inputs.parameters.message}}", "--run", _word(draw)]
        templates.append(
            {"name": step, "inputs": {"parameters": [{"name": "message"}]}, "container": container}
        )
    workflow = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": f"{name}-"}
        | ({"namespace": _namespace(draw)} if draw.random() < 0.5 else {}),
        "spec": {
            "entrypoint": "main",
            "arguments": {
                "parameters": [{"name": "message", "value": " ".join(_word(draw) for _ in range(6))}]
            },
            "templates": templates,
        },
    }
    return _Draft(f"{name}.yaml", [workflow], "k8s_workload", planted)


def _cron_job(draw: Random) -> _Draft:
    name = _name(draw, draw.choice(("inference", "pipeline", "mlflow")))
    planted: list[tuple[str, str]] = []
    job = {
        "apiVersion": draw.choice(("batch/v1", "batch/v1", "batch/v1beta1")),
        "kind": "CronJob",
        "metadata": _metadata(draw, name, planted),
        "spec": {
            "schedule": f"{draw.randrange(60)} {draw.randrange(24)} * * {draw.choice('*012345')}",
            "concurrencyPolicy": draw.choice(("Forbid", "Replace", "Allow")),
            "jobTemplate": {
                "spec": {
                    "backoffLimit": draw.randint(0, 6),
                    "template": {"spec": _pod(draw, name, planted, gpu=0.2) | {"restartPolicy": "Never"}},
                }
            },
        },
    }
    return _Draft(f"{name}.yml", [job], "k8s_workload", planted)


def _stateful_set(draw: Random) -> _Draft:
    name = _name(draw, draw.choice(("mlflow", "serving", "kubeflow")))
    planted: list[tuple[str, str]] = []
    workload: Object = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _metadata(draw, name, planted),
        "spec": {
            "serviceName": name,
            "replicas": draw.randint(1, 5),
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": _pod(draw, name, planted, gpu=0.1),
            },
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": "data"},
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": f"{draw.choice((5, 10, 20, 50, 100))}Gi"}},
                    },
                }
            ],
        },
    }
    return _Draft(f"{name}.yaml", [workload, _service(draw, name, None)], "k8s_workload", planted)


def _inference_service(draw: Random) -> _Draft:
    name = _name(draw, draw.choice(("inference", "predictor", "kserve")))
    planted: list[tuple[str, str]] = []
    model: Object = {
        "modelFormat": {"name": draw.choice(texts.FORMATS)},
        "storageUri": f"{draw.choice(('gs', 's3'))}://{_word(draw)}-{_word(draw)}/models/{_word(draw)}/{_word(draw)}",
        "resources": _resources(draw, gpu=0.5),
    }
    if draw.random() < 0.5:
        model["env"] = _environment(draw, planted)
    predictor: Object = {
        "minReplicas": draw.randint(0, 2),
        "maxReplicas": draw.randint(3, 12),
        "model": model,
    }
    if draw.random() < 0.4:
        predictor["serviceAccountName"] = f"{_word(draw)}-sa"
    if draw.random() < 0.3:
        predictor["nodeSelector"] = {"accelerator": draw.choice(texts.ACCELERATORS)}
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": _metadata(draw, name, planted),
        "spec": {"predictor": predictor}
        | (
            {"transformer": {"containers": [_container(draw, "transformer", planted, gpu=0)]}}
            if draw.random() < 0.4
            else {}
        ),
    }
    return _Draft(f"{name}.yaml", [service], "kserve", planted)


def _serving_runtime(draw: Random) -> _Draft:
    name = _name(draw, "runtime")
    planted: list[tuple[str, str]] = []
    runtime = {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": draw.choice(("ServingRuntime", "ClusterServingRuntime")),
        "metadata": _metadata(draw, name, planted),
        "spec": {
            "supportedModelFormats": [
                {"name": model, "version": str(draw.randint(1, 3)), "autoSelect": draw.random() < 0.5}
                for model in draw.sample(texts.FORMATS, draw.randint(1, 4))
            ],
            "containers": [_container(draw, "kserve-container", planted, gpu=0.5)],
        },
    }
    return _Draft(f"{name}.yaml", [runtime], "kserve", planted)


def _seldon_deployment(draw: Random) -> _Draft:
    name = _name(draw, "seldon")
    planted: list[tuple[str, str]] = []
    graph: Object = {
        "name": "classifier",
        "implementation": draw.choice(("SKLEARN_SERVER", "TRITON_SERVER", "XGBOOST_SERVER", "MLFLOW_SERVER")),
        "modelUri": f"gs://{_word(draw)}/{_word(draw)}/{_word(draw)}-{draw.randint(1, 90)}",
        "envSecretRefName": f"{_word(draw)}-rclone",
        "parameters": [
            {"name": _word(draw), "type": "STRING", "value": _word(draw)} for _ in range(draw.randint(1, 4))
        ],
    }
    predictors = [
        {
            "name": part,
            "replicas": draw.randint(1, 5),
            "traffic": share,
            "graph": graph | {"name": f"{part}-{_word(draw)}"},
            "componentSpecs": [
                {"spec": {"containers": [_container(draw, f"{part}-model", planted, gpu=0.3)]}}
            ],
        }
        for part, share in ((("main", 100),) if draw.random() < 0.5 else (("main", 75), ("canary", 25)))
    ]
    deployment = {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": _metadata(draw, name, planted),
        "spec": {"name": name, "predictors": predictors},
    }
    return _Draft(f"{name}.yaml", [deployment], "seldon", planted)


def _config_map(draw: Random) -> _Draft:
    name = _name(draw, "config")
    planted: list[tuple[str, str]] = []
    data: Object = {
        "workflow-controller.conf": "\n".join(
            f"{_word(draw)}.{_word(draw)} = {draw.choice((_word(draw), draw.randint(1, 9_999)))}"
            for _ in range(9)
        )
        + "\n",
        "MLFLOW_TRACKING_URI": f"http://mlflow.{_namespace(draw)}.svc.cluster.local:5000",
        "BATCH_SIZE": str(draw.choice((16, 32, 64, 128))),
    }
    chance = draw.random()
    if chance < 0.12:
        key = _private_key(draw)
        data["tls.key"] = key
        planted.append(("private_key", key))
    elif chance < 0.30:
        password = _password(draw)
        data["DATABASE_URL"] = f"postgresql://{_word(draw)}:{password}@db.{_word(draw)}.svc:5432/mlflow"
        planted.append(("password", password))
    elif chance < 0.42:
        address = _address(draw)
        data["upstream"] = f"host {address} port {draw.randint(1024, 9999)}"
        planted.append(("ip", address))
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(draw, name, planted),
        "data": data,
    }
    return _Draft(f"{name}.yaml", [config], "k8s_config", planted)


def _secret(draw: Random) -> _Draft:
    name = _name(draw, "secret")
    planted: list[tuple[str, str]] = []
    fields = draw.sample(
        ("AWS_SECRET_ACCESS_KEY", "password", "mlflow-token", "API_KEY", "pin", "dsn"), draw.randint(1, 4)
    )
    values = {key: _password(draw) for key in fields}
    planted += [("secret", value) for value in values.values()]
    secret: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(draw, name, planted)
        | {"labels": {"workflow": _word(draw), "team": _word(draw)}},
        "type": "Opaque",
    }
    if draw.random() < 0.5:
        secret["data"] = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    else:
        secret["stringData"] = values
    return _Draft(f"{name}.yaml", [secret], "k8s_config", planted)


def _rbac(draw: Random) -> _Draft:
    name = _name(draw, draw.choice(("kubeflow", "pipeline", "kserve")))
    rules = [
        {
            "apiGroups": [
                draw.choice(("", "apps", "kubeflow.org", "serving.kserve.io", "argoproj.io", "batch"))
            ],
            "resources": draw.sample(texts.RESOURCES, draw.randint(1, 4)),
            "verbs": draw.sample(
                ("get", "list", "watch", "create", "update", "patch", "delete"), draw.randint(2, 6)
            ),
        }
        for _ in range(draw.randint(2, 6))
    ]
    documents: list[Object] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name, "labels": {"app": "kubeflow", "part": _word(draw)}},
            "rules": rules,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"{name}-binding"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": _namespace(draw)}],
        },
    ]
    return _Draft(f"{name}-rbac.yaml", documents[draw.randint(0, 1) :], "k8s_config")


def _ingress(draw: Random) -> _Draft:
    name = _name(draw, "ingress")
    planted: list[tuple[str, str]] = []
    rules = [
        {
            "host": f"{_word(draw)}.{_word(draw)}.example.com",
            "http": {
                "paths": [
                    {
                        "path": f"/{_word(draw)}/{_word(draw)}",
                        "pathType": "Prefix",
                        "backend": {
                            "service": {
                                "name": f"{_word(draw)}-serving",
                                "port": {"number": draw.randint(80, 9000)},
                            }
                        },
                    }
                    for _ in range(draw.randint(1, 3))
                ]
            },
        }
        for _ in range(draw.randint(1, 3))
    ]
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": _metadata(draw, name, planted),
        "spec": {"rules": rules},
    }
    return _Draft(f"{name}.yaml", [ingress], "k8s_config", planted)


def _claim(draw: Random) -> _Draft:
    name = _name(draw, "mlflow")
    documents: list[Object] = [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": f"{name}-{_word(draw)}",
                "labels": {"app": "mlflow", "owner": _word(draw), "stage": _word(draw)},
                "annotations": {
                    f"{_word(draw)}.example.com/{_word(draw)}": f"{_word(draw)} {_word(draw)} {_word(draw)}"
                },
            },
            "spec": {
                "accessModes": [draw.choice(("ReadWriteOnce", "ReadWriteMany"))],
                "storageClassName": f"{_word(draw)}-{_word(draw)}",
                "resources": {"requests": {"storage": f"{draw.randint(1, 900)}Gi"}},
            },
        }
        for _ in range(draw.randint(1, 3))
    ]
    return _Draft(f"{name}-pvc.yaml", documents, "k8s_config")


# --- files that are refused, and the ones that look as if ---


def _helm_file(draw: Random, made: list[File]) -> File:
    draft = _draft(draw)
    lines = _dumped(draw, draft).splitlines()
    value = f"{_word(draw)}.{_word(draw)}"
    lines = [
        line.split("name: ")[0] + 'name: {{ include "chart.fullname" . }}'
        if line.startswith("  name: ")
        else line
        for line in lines
    ]
    lines.insert(draw.randrange(len(lines)), "{{- if .Values." + value + " }}")
    lines += ["{{- end }}"]
    planted = tuple(draft.planted)
    return File(
        f"{_word(draw)}/templates/{draft.name}",
        _repo(draw),
        ("Apache-2.0",),
        "\n".join(lines) + "\n",
        Truth("helm_template", None, 0, planted),
    )


def _other_yaml(draw: Random, made: list[File]) -> File:
    path, make = draw.choice(texts.OTHERS)
    content = make(draw, _word)
    return File(path, _repo(draw), ("Apache-2.0",), content, Truth("not_kubernetes", None, 1, ()))


def _without_ml(draw: Random, made: list[File]) -> File:
    name = _name(draw, draw.choice(("web", "cart", "mail", "blog", "shop")))
    workload: Object = {
        "apiVersion": "apps/v1",
        "kind": draw.choice(("Deployment", "DaemonSet")),
        "metadata": {"name": name, "labels": {"app": name, "release": _word(draw)}},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "containers": [
                        {
                            "name": name,
                            "image": f"{_word(draw)}/{_word(draw)}:{draw.randint(1, 9)}.{draw.randint(0, 30)}",
                            # Substrings of the keywords, and no words of them.
                            "args": [
                                "--observing",
                                "--preserving",
                                f"--deserving={_word(draw)}",
                                _word(draw),
                            ],
                        }
                    ]
                },
            },
        },
    }
    draft = _Draft(f"{name}.yaml", [workload], "k8s_workload")
    return _finished(draw, draft, _dumped(draw, draft), ("Apache-2.0",), "no_ml_infrastructure")


def _other_licence(draw: Random, made: list[File]) -> File:
    licences = draw.choice(
        (("GPL-3.0",), ("MIT", "GPL-2.0"), ("AGPL-3.0",), (), ("Apache-2.0", "CC-BY-NC-4.0"))
    )
    draft = _draft(draw)
    return _finished(draw, draft, _dumped(draw, draft), licences, "licence_not_permissive")


def _repeated(draw: Random, made: list[File]) -> File:
    if not made:
        return _manifest_file(draw, made)
    again = draw.choice(made)
    # The same content in another repository is the same blob.
    return File(
        again.path,
        _repo(draw),
        again.licenses,
        again.content,
        Truth("duplicate_hexsha", again.truth.iac_type, again.truth.documents, again.truth.planted),
    )


def _nearly_repeated(draw: Random, made: list[File]) -> File:
    kept = [file for file in made[-400:] if file.truth.reason is None]
    if not kept:
        return _manifest_file(draw, made)
    again = draw.choice(kept)
    # Another comment and other blanks: the same manifest, not the same bytes.
    content = "".join(line + " " * (draw.random() < 0.3) + "\n" for line in again.content.splitlines())
    return File(
        again.path,
        _repo(draw),
        again.licenses,
        content,
        Truth("near_duplicate", again.truth.iac_type, 1, again.truth.planted),
    )


def _broken(draw: Random, made: list[File]) -> File:
    draft = _draft(draw)
    content = _dumped(draw, draft)
    lines = content.splitlines()
    kind = draw.choice(("invalid_yaml", "tab_indentation", "unsafe_tag", "alias_bomb"))
    if kind == "invalid_yaml":
        lines.append('broken: "no end')
    elif kind == "tab_indentation":
        lines.append("tabs:\n\tinside: true")
    elif kind == "unsafe_tag":
        lines.append(f"call: !!python/object/apply:os.system [{_word(draw)}]")
    else:
        lines.append("a0: &a0 [x, x, x, x, x, x, x, x, x]")
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    return File(
        f"{_word(draw)}/{draft.name}",
        _repo(draw),
        ("Apache-2.0",),
        "\n".join(lines) + "\n",
        Truth(kind, None, 0, tuple(draft.planted)),
    )


def _odd_layout(draw: Random, made: list[File]) -> File:
    draft = _draft(draw)
    content = _dumped(draw, draft)
    odd = "\ufeff" + content if draw.random() < 0.5 else content.replace("\n", "\r\n")
    return _finished(draw, draft, odd, _licences(draw), None)


def _mixed_documents(draw: Random, made: list[File]) -> File:
    draft = _draft(draw)
    content = (
        _dumped(draw, draft).rstrip("\n")
        + f"\n---\nreplicaCount: {draw.randint(1, 9)}\nimage: {_word(draw)}\n"
    )
    return _finished(draw, draft, content, ("Apache-2.0",), "not_a_resource")


def _short(draw: Random, made: list[File]) -> File:
    content = f"{_word(draw)}: {_word(draw)}\n"
    return File("values.yaml", _repo(draw), ("MIT",), content, Truth("size_out_of_range", None, 1, ()))


# --- parts of manifests ---


def _metadata(draw: Random, name: str, planted: list[tuple[str, str]]) -> Object:
    metadata: Object = {"name": name}
    if draw.random() < 0.6:
        metadata["namespace"] = _namespace(draw)
    if draw.random() < 0.6:
        metadata["labels"] = {
            "app.kubernetes.io/name": name,
            "app.kubernetes.io/part-of": draw.choice(("kubeflow", "mlflow", "inference")),
            _word(draw): _word(draw),
        }
    if draw.random() < 0.3:
        annotations: Object = {f"{_word(draw)}.example.com/{_word(draw)}": _word(draw)}
        if draw.random() < 0.3:
            _, mail = _person(draw)
            annotations["owner"] = mail
            planted.append(("email", mail))
        metadata["annotations"] = annotations
    return metadata


def _pod(draw: Random, name: str, planted: list[tuple[str, str]], *, gpu: float) -> Object:
    pod: Object = {"containers": [_container(draw, name, planted, gpu=gpu)]}
    if draw.random() < 0.25:
        pod["nodeSelector"] = {"accelerator": draw.choice(texts.ACCELERATORS)}
    if draw.random() < 0.25:
        pod["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    if draw.random() < 0.3:
        pod["volumes"] = [
            {"name": "models", "persistentVolumeClaim": {"claimName": f"{_word(draw)}-{_word(draw)}"}},
            # A name of a Secret is no secret.
            {"name": "credentials", "secret": {"secretName": f"{_word(draw)}-secret"}},
        ]
    if draw.random() < 0.12:
        address = _address(draw)
        pod["hostAliases"] = [{"ip": address, "hostnames": [f"{_word(draw)}.example.com"]}]
        planted.append(("ip", address))
    return pod


def _container(draw: Random, name: str, planted: list[tuple[str, str]], *, gpu: float) -> Object:
    container: Object = {
        "name": name,
        # Four numbers make a version here, not an address.
        "image": f"{draw.choice(texts.REGISTRIES)}/{_word(draw)}/{draw.choice(texts.IMAGES)}:"
        f"{draw.randint(0, 9)}.{draw.randint(0, 40)}.{draw.randint(0, 9)}.{draw.randint(0, 9)}",
        "resources": _resources(draw, gpu=gpu),
    }
    if draw.random() < 0.7:
        container["env"] = _environment(draw, planted)
    if draw.random() < 0.6:
        container["args"] = [f"--{_word(draw)}={_word(draw)}" for _ in range(draw.randint(1, 5))]
    if draw.random() < 0.5:
        container["ports"] = [
            {"containerPort": draw.randint(3000, 9999), "name": draw.choice(("http", "grpc"))}
        ]
    if draw.random() < 0.3:
        container["readinessProbe"] = {
            "httpGet": {"path": f"/{_word(draw)}", "port": draw.randint(3000, 9999)},
            "initialDelaySeconds": draw.randint(1, 90),
        }
    return container


def _environment(draw: Random, planted: list[tuple[str, str]]) -> list[Object]:
    variables: list[Object] = [
        {
            "name": f"{_word(draw)}_{_word(draw)}".upper(),
            "value": draw.choice((_word(draw), str(draw.randint(0, 9_999)))),
        }
        for _ in range(draw.randint(1, 5))
    ]
    chance = draw.random()
    if chance < 0.15:
        password = _password(draw)
        variables.append(
            {"name": draw.choice(("DB_PASSWORD", "MLFLOW_TRACKING_PASSWORD", "API_TOKEN")), "value": password}
        )
        planted.append(("password", password))
    elif chance < 0.20:
        # The formats that the providers publish, drawn.
        key = "AKIA" + "".join(draw.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=16))
        variables.append({"name": "AWS_ACCESS_KEY_ID", "value": key})
        planted.append(("api_key", key))
    elif chance < 0.25:
        token = "ghp_" + "".join(draw.choices(texts.ALPHANUMERIC, k=36))
        variables.append({"name": "GIT_TOKEN", "value": token})
        planted.append(("token", token))
    elif chance < 0.55:
        # References to secrets, which hold none.
        reference = {"secretKeyRef": {"name": f"{_word(draw)}-credentials", "key": "password"}}
        variables.append({"name": "DB_PASSWORD", "valueFrom": reference})
    elif chance < 0.65:
        variables.append({"name": "POD_PASSWORD", "value": "$(VAULT_PASSWORD)"})
    return variables


def _resources(draw: Random, *, gpu: float) -> Object:
    amounts: Object = {
        "cpu": draw.choice(("250m", "500m", "1", "2", "4")),
        "memory": f"{draw.randint(1, 64)}Gi",
    }
    if draw.random() < gpu:
        amounts[draw.choice(("nvidia.com/gpu", "nvidia.com/gpu", "amd.com/gpu"))] = draw.choice(
            (1, 1, 2, 4, 8)
        )
    return {"limits": amounts}


def _service(draw: Random, name: str, namespace: str | None) -> Object:
    metadata: Object = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "selector": {"app": name},
            "ports": [{"port": draw.randint(80, 9000), "targetPort": draw.randint(3000, 9999)}],
        },
    }


def _autoscaler(draw: Random, name: str) -> Object:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": draw.randint(1, 3),
            "maxReplicas": draw.randint(4, 20),
        },
    }


# --- words and values ---


def _finished(
    draw: Random, draft: _Draft, content: str, licences: tuple[str, ...], reason: str | None
) -> File:
    folder = "/".join(draw.choice(texts.FOLDERS) for _ in range(draw.randint(1, 2)))
    if len(content.encode()) < 200 + 3 * content.startswith("\ufeff"):
        reason = "size_out_of_range"
    truth = Truth(reason, draft.iac_type, len(draft.documents), tuple(draft.planted))
    return File(f"{folder}/{draft.name}", _repo(draw), licences, content, truth)


def _dumped(draw: Random, draft: _Draft) -> str:
    parts = [yaml.dump(document, sort_keys=False, width=1_000) for document in draft.documents]
    text = "---\n".join(parts)
    if draw.random() < 0.2:
        text = "---\n" + text
    return "".join(f"{comment}\n" for comment in draft.comments) + text


def _licences(draw: Random) -> tuple[str, ...]:
    return tuple(
        draw.choices(
            (
                ("Apache-2.0",),
                ("MIT",),
                ("BSD-3-Clause",),
                ("BSD-2-Clause",),
                ("CC0-1.0",),
                ("Apache-2.0", "MIT"),
            ),
            (66, 18, 7, 3, 3, 3),
        )[0]
    )


def _name(draw: Random, beginning: str) -> str:
    return f"{beginning}-{_word(draw)}-{_word(draw)}"


def _namespace(draw: Random) -> str:
    return draw.choice((*texts.NAMESPACES, f"team-{_word(draw)}"))


def _repo(draw: Random) -> str:
    return f"{_word(draw)}-{_word(draw)}/{_word(draw)}"


def _word(draw: Random) -> str:
    return "".join(draw.choice(texts.SYLLABLES) for _ in range(draw.randint(2, 3)))


def _person(draw: Random) -> tuple[str, str]:
    first, last = draw.choice(texts.FIRST_NAMES), _word(draw).capitalize()
    return f"{first} {last}", f"{first.lower()}.{last.lower()}@{_word(draw)}{_word(draw)}.com"


def _password(draw: Random) -> str:
    # All four kinds of characters, none that YAML or base64 would treat specially.
    kinds = (texts.LOWER, texts.UPPER, "23456789", "!#%+")
    letters = [draw.choice(kind) for kind in kinds] + draw.choices("".join(kinds[:3]), k=draw.randint(8, 16))
    draw.shuffle(letters)
    return "z" + "".join(letters)


def _address(draw: Random) -> str:
    # Public, and neither a resolver nor for documentation.
    return ".".join(
        map(str, (draw.choice((45, 81, 93, 109, 151)), *(draw.randint(11, 199) for _ in range(3))))
    )


def _private_key(draw: Random) -> str:
    body = ["".join(draw.choices(texts.ALPHANUMERIC + "+/", k=64)) for _ in range(draw.randint(3, 6))]
    return "\n".join(["-----BEGIN PRIVATE KEY-----", *body, "-----END PRIVATE KEY-----", ""])


# --- the file ---


def write_parquet(path: Path, rows: int, seed: int = 42) -> list[Truth]:
    """Write a shard in upstream's layout, row groups of 1,000, and return the truth of its rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = list(generate(rows, seed))
    contents = [file.content for file in files]
    lines = [content.splitlines() or [""] for content in contents]
    table = pa.table(
        {
            "hexsha": [file.hexsha for file in files],
            "size": [len(content.encode()) for content in contents],
            "ext": [file.path.rpartition(".")[2] for file in files],
            "lang": ["YAML"] * rows,
            "max_stars_repo_path": [file.path for file in files],
            "max_stars_repo_name": [file.repo for file in files],
            "max_stars_repo_head_hexsha": [
                hashlib.sha1(file.repo.encode(), usedforsecurity=False).hexdigest() for file in files
            ],
            "max_stars_repo_licenses": pa.array(
                [list(file.licenses) for file in files], pa.list_(pa.string())
            ),
            "max_stars_count": pa.array([None] * rows, pa.int64()),
            "content": contents,
            "avg_line_length": [sum(map(len, found)) / len(found) for found in lines],
            "max_line_length": [max(map(len, found)) for found in lines],
            "alphanum_fraction": [sum(map(str.isalnum, content)) / len(content) for content in contents],
        }
    )
    pq.write_table(table, path, row_group_size=1_000, compression="zstd", compression_level=19)
    return [file.truth for file in files]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--truth", type=Path, help="what is true of each row, as JSON lines")
    options = parser.parse_args()
    truths = write_parquet(options.out, options.rows, options.seed)
    if options.truth:
        lines = [
            json.dumps({"reason": t.reason, "iac_type": t.iac_type, "documents": t.documents}) for t in truths
        ]
        options.truth.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
