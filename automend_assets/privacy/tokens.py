"""Validators of secrets that have a format of their own: what is random enough, and no filler."""

from __future__ import annotations

import base64
import binascii
import json
import re

from automend_assets.privacy.allow import is_stand_in, is_token_filler
from automend_assets.privacy.place import Place
from automend_assets.privacy.randomness import entropy, looks_random


def token(place: Place) -> bool:
    """Random enough, and no filler."""
    value = place.value
    body = re.sub(r"^[A-Za-z0-9]{1,12}[_.-]", "", value) or value
    if body.isdigit():
        return False
    return entropy(body) > (2.5 if len(body) < 24 else 2.9) and not is_token_filler(value)


def fixed_token(place: Place) -> bool:
    """The format alone is telling enough; only fillers are out."""
    return not is_token_filler(place.value)


def written_token(place: Place) -> bool:
    """A format that stands alone: even a filler in it is taken for a token, since they are written so in the open."""
    return not is_stand_in(place.value)


def random_token(place: Place) -> bool:
    """A format that words can have: letters and digits mixed as in a random string."""
    value = place.value
    return looks_random(value) and not is_token_filler(value)


def mixed_token(place: Place) -> bool:
    """As `token`, with a digit in its last part."""
    return token(place) and any(c.isdigit() for c in re.split(r"[._-]", place.value)[-1])


def _json_of(part: str) -> object:
    try:
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError, binascii.Error):
        return None


def jwt(place: Place) -> bool:
    """The header is a JSON object that names an algorithm."""
    value = place.value
    header = _json_of(value.partition(".")[0])
    return isinstance(header, dict) and ("alg" in header or "enc" in header) and not is_stand_in(value)


def service_account_token(place: Place) -> bool:
    """A JWT whose claims are those of a Kubernetes service account."""
    parts = place.value.split(".")
    claims = _json_of(parts[1])
    if not isinstance(claims, dict) or not jwt(place):
        return False
    return "kubernetes.io" in claims or any("kubernetes" in str(key) for key in claims)
