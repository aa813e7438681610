"""What a user would ask for to get a manifest: a sentence from the file's name, or from what the file declares.

Here: the rule by file name, the templates over facts, and the seeded choice between them. Not here: where the facts
come from (`resources.py`), the messages around a prompt (`chatml.py`).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import PurePosixPath
from typing import NamedTuple

from automend_assets.datasets.iac.resources import Facts

FILE_NAME_RULES: tuple[tuple[str, str, str], ...] = (
    ("deploy", "deploy", "Deploy the workload: {}."),
    ("service", "service", "Create the service: {}."),
    ("inference", "inference", "Deploy the inference service: {}."),
    ("gpu", "gpu", "Apply the GPU serving configuration: {}."),
    ("train", "train", "Launch the training workload: {}."),
    ("pipeline", "pipeline", "Set up the pipeline: {}."),
    ("ingress", "ingress", "Configure the ingress: {}."),
    ("secret", "secret", "Create the secret: {}."),
    ("config", "config", "Apply the configuration: {}."),
    ("anything", "", "Apply the Kubernetes manifest: {}."),
)
"""Type, how a word of the name begins, sentence; the first that fits is taken."""

PROMPT_TYPES = tuple(rule for rule, _, _ in FILE_NAME_RULES)

# Each with what it needs to be known.
_TEMPLATES: tuple[tuple[str, frozenset[str]], ...] = tuple(
    (text, frozenset(re.findall(r"{(\w+)}", text)))
    for text in (
        "Create the {kind} {name}.",
        "Apply a manifest for the {kind} {name}.",
        "I need {article} {kind} called {name}.",
        "Create the {kind} {name} in the namespace {namespace}.",
        "Set up {name} in {namespace}: {article} {kind}.",
        "Run {image} as the {kind} {name}.",
        "Roll out {name}, {article} {kind} that runs the image {image}.",
        "Deploy {image} to the namespace {namespace} as the {kind} {name}.",
        "Schedule the {kind} {name} with {gpus} per container.",
        "Run {image} with {gpus} as the {kind} {name}.",
        "Apply the {count} resources of {name}: {kinds}.",
        "Set up {kinds} for {name}.",
        "Set up {kinds} for {name} in the namespace {namespace}.",
    )
)
_SEPARATORS = re.compile(r"[^A-Za-z0-9]+")
# Names that are no names: placeholders, templates, variables.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,119}")
_MOST_KINDS = 4


class Prompt(NamedTuple):
    """The sentence, and the type that the file's name has (one of `PROMPT_TYPES`)."""

    text: str
    type: str


def prompt_type(path: str) -> str:
    """The type of the first rule that a word of the file's name fits."""
    words = _words(path)
    for rule, beginning, _ in FILE_NAME_RULES:
        if any(word.startswith(beginning) for word in words):
            return rule
    return FILE_NAME_RULES[-1][0]


def file_name_prompt(path: str) -> str:
    """The sentence of the rule by file name, which is the original's.

    >>> file_name_prompt("charts/gpu-model-server.yaml")
    'Apply the GPU serving configuration: gpu model server.'
    """
    found = prompt_type(path)
    sentence = next(text for rule, _, text in FILE_NAME_RULES if rule == found)
    return sentence.format(" ".join(_words(path)) or "manifest")


def prompt_for(path: str, facts: Facts, *, key: str, seed: int) -> Prompt:
    """The prompt of a file: one of the sentences that its name and facts allow, by the seed and `key` alone."""
    known = _known(facts)
    templates = [text for text, needs in _TEMPLATES if needs <= known.keys()]
    digest = hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=8).digest()
    chosen = int.from_bytes(digest) % (1 + len(templates))
    text = templates[chosen - 1].format(**known) if chosen else file_name_prompt(path)
    return Prompt(text, prompt_type(path))


def _known(facts: Facts) -> dict[str, str]:
    """The parts of sentences that the facts provide."""
    known: dict[str, str] = {}
    names, namespaces, images = (
        [text.rstrip("-") for text in texts if _PLAIN.fullmatch(text)]
        for texts in (facts.names, facts.namespaces, facts.images)
    )
    if names:
        known["name"] = names[0]
    if len(namespaces) == 1:
        known["namespace"] = namespaces[0]
    if len(images) == 1:
        known["image"] = images[0]
    if facts.gpus:
        known["gpus"] = "1 GPU" if facts.gpus == 1 else f"{facts.gpus} GPUs"
    if len(facts.kinds) == 1:
        known["kind"] = facts.kinds[0]
        known["article"] = _article(facts.kinds[0])
    else:
        counted = Counter(facts.kinds)
        if len(counted) <= _MOST_KINDS:
            known["count"] = str(len(facts.kinds))
            known["kinds"] = _listed([_counted(kind, number) for kind, number in counted.items()])
        known.pop("image", None)
    return known


def _counted(kind: str, number: int) -> str:
    if number == 1:
        return f"{_article(kind)} {kind}"
    return f"{number} {kind} resources"


def _article(kind: str) -> str:
    # An MPIJob, a TFJob, a Model: capitals that are spelled out begin as their letter is spoken.
    spoken_with_vowel = "AEFHILMNORSX" if kind[1:2].isupper() else "AEIO"
    return "an" if kind[:1] in spoken_with_vowel else "a"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _words(path: str) -> list[str]:
    name = PurePosixPath(path).name
    stem = re.sub(r"\.ya?ml$", "", name, flags=re.IGNORECASE)
    return [word for word in _SEPARATORS.split(stem.lower()) if word]
