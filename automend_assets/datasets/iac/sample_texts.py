"""The words of generated YAML files, and the YAML files that are no Kubernetes manifests."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

LOWER, UPPER = "abcdefghijkmnopqrstuvwxyz", "ABCDEFGHJKLMNPQRSTUVWXYZ"
ALPHANUMERIC = LOWER + UPPER + "0123456789"
SYLLABLES = tuple(consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou")
FIRST_NAMES = ("Ada", "Boris", "Chen", "Dilip", "Elif", "Femi", "Greta", "Hana", "Ivo", "Jun", "Kofi", "Lena")
OWNERS = ("The Kubeflow Authors", "Example Corp", "The KServe Authors", "Contributors of the project")
HEADER = """\
# Copyright {year} {owner}.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
"""
TIERS = ("serving", "backend", "edge", "batch")
STEPS = ("ingest", "clean-data", "train-model", "evaluate", "register", "deploy-model", "score-batch")
FORMATS = ("sklearn", "xgboost", "pytorch", "tensorflow", "onnx", "triton", "huggingface", "lightgbm")
ACCELERATORS = ("nvidia-tesla-t4", "nvidia-a100", "nvidia-l4", "amd-mi250")
REGISTRIES = ("docker.io", "ghcr.io", "quay.io", "registry.example.com", "gcr.io")
IMAGES = ("model-server", "trainer", "triton", "torchserve", "predictor", "mlflow", "tf-serving", "notebook")
NAMESPACES = ("kubeflow", "kserve", "ml-serving", "default", "mlops", "production")
RESOURCES = (
    "pods",
    "services",
    "secrets",
    "configmaps",
    "deployments",
    "inferenceservices",
    "workflows",
    "jobs",
)
FOLDERS = ("manifests", "k8s", "deploy", "config", "examples", "base", "overlays", "samples", "infra")

Words = Callable[[Random], str]


def _actions(draw: Random, word: Words) -> str:
    steps = "".join(
        f"      - name: {word(draw)} {word(draw)}\n        run: make {word(draw)}\n"
        for _ in range(draw.randint(3, 9))
    )
    return (
        f"name: {word(draw)}\non:\n  push:\n    branches: [main, {word(draw)}]\njobs:\n  build:\n"
        f"    runs-on: ubuntu-latest\n    env:\n      TOKEN: ${{{{ secrets.{word(draw).upper()} }}}}\n    steps:\n"
        f"      - uses: actions/checkout@v4\n{steps}"
    )


def _compose(draw: Random, word: Words) -> str:
    services = "".join(
        f"  {word(draw)}{word(draw)}:\n    image: {word(draw)}/{word(draw)}:{draw.randint(1, 20)}\n"
        f'    ports:\n      - "{draw.randint(1000, 9000)}:{draw.randint(1000, 9000)}"\n    environment:\n'
        f"      {word(draw).upper()}: {word(draw)}\n"
        for _ in range(draw.randint(2, 5))
    )
    return f'version: "3.8"\nservices:\n{services}'


def _openapi(draw: Random, word: Words) -> str:
    paths = "".join(
        f"  /{word(draw)}/{word(draw)}:\n    get:\n      summary: {word(draw)} {word(draw)}\n      responses:\n"
        f'        "200":\n          description: {word(draw)} {word(draw)}\n'
        for _ in range(draw.randint(2, 6))
    )
    return (
        f"openapi: 3.0.0\ninfo:\n  title: {word(draw)}\n  version: 1.{draw.randint(0, 9)}.0\npaths:\n{paths}"
    )


def _values(draw: Random, word: Words) -> str:
    blocks = "".join(
        f"{word(draw)}{word(draw)}:\n  enabled: {draw.choice(('true', 'false'))}\n  image: {word(draw)}/{word(draw)}\n"
        f"  replicas: {draw.randint(1, 9)}\n  {word(draw)}: {word(draw)} {word(draw)}\n"
        for _ in range(draw.randint(4, 9))
    )
    # The word alone is not the field.
    return f"# Values of the chart; see apiVersion and kind in its templates.\n{blocks}"


OTHERS: tuple[tuple[str, Callable[[Random, Words], str]], ...] = (
    (".github/workflows/ci.yml", _actions),
    ("docker-compose.yml", _compose),
    ("api/openapi.yaml", _openapi),
    ("chart/values.yaml", _values),
)
