"""Examples of rules as templates, so that no file of the project holds anything that looks like a live secret.

Here: the template language and its expansion. Not here: the examples themselves (`privacy.rules`).

A field `<alnum:36>` stands for 36 characters of an alphabet, drawn with a seed made of the template, so that an
example is the same in every process.
"""

from __future__ import annotations

import base64
import random
import re
import string

_ALPHABETS = {
    "alnum": string.ascii_letters + string.digits,
    "word": string.ascii_letters + string.digits + "_",
    "url": string.ascii_letters + string.digits + "_-",
    "b64": string.ascii_letters + string.digits + "+/",
    "hex": "0123456789abcdef",
    "HEX": "0123456789ABCDEF",
    "lower": string.ascii_lowercase,
    "upper": string.ascii_uppercase,
    "letters": string.ascii_letters,
    "low36": string.ascii_lowercase + string.digits,
    "UP36": string.ascii_uppercase + string.digits,
    "b32": string.ascii_uppercase + "234567",
    "low32": string.ascii_lowercase + "234567",
    "digits": string.digits,
}
_FIELD = re.compile(r"<(" + "|".join(_ALPHABETS) + r"):(\d+)>")
_ENCODED = re.compile(r"<json:([^>]*)>|<base64:([^>]*)>")


def expand(template: str) -> str:
    """The text that `template` stands for.

    `<alphabet:n>`: n random characters. `<json:...>`: the text as unpadded URL-safe base64, as in a JWT.
    `<base64:...>`: as padded base64.
    """
    generator = random.Random(template)  # noqa: S311

    def draw(field: re.Match[str]) -> str:
        alphabet, length = _ALPHABETS[field.group(1)], int(field.group(2))
        return "".join(generator.choice(alphabet) for _ in range(length))

    def encode(field: re.Match[str]) -> str:
        if field.group(1) is not None:
            return base64.urlsafe_b64encode(field.group(1).encode()).decode().rstrip("=")
        return base64.b64encode(field.group(2).encode()).decode()

    return _ENCODED.sub(encode, _FIELD.sub(draw, template))
