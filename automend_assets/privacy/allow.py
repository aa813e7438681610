"""Allow-lists: what looks like personal data or a secret, and keeps its meaning for being none.

Here: documentation domains and addresses, public resolvers, versions, placeholders and references, published
documentation keys, and the stand-ins that `privacy.replacement` writes. Not here: what makes a value a secret
(`privacy.validators`).
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from automend_assets.privacy.randomness import mixes_characters

# RFC 2606 and RFC 6761: names that never belong to anybody.
_DOCUMENTATION_DOMAIN = re.compile(
    r"(?:^|\.)(?:example(?:\.(?:com|net|org|edu))?|test|invalid|localhost|local|localdomain|internal|lan)$"
)

# Addresses of nobody, since a whole service writes them.
_SHARED_MAILBOX = re.compile(r"(?:^|\.)users\.noreply\.github\.com$")

PUBLIC_RESOLVERS = frozenset(
    ip_address(text)
    for text in (
        *("1.1.1.1", "1.0.0.1", "1.1.1.2", "1.0.0.2", "1.1.1.3", "1.0.0.3", "8.8.8.8", "8.8.4.4"),
        *("9.9.9.9", "9.9.9.10", "9.9.9.11", "149.112.112.112", "149.112.112.10", "149.112.112.11"),
        *("208.67.222.222", "208.67.220.220", "208.67.222.123", "208.67.220.123"),
        *(
            "4.2.2.1",
            "4.2.2.2",
            "4.2.2.3",
            "4.2.2.4",
            "64.6.64.6",
            "64.6.65.6",
            "84.200.69.80",
            "84.200.70.40",
        ),
        *("94.140.14.14", "94.140.15.15", "76.76.2.0", "76.76.10.0", "185.228.168.9", "185.228.169.9"),
        *("114.114.114.114", "114.114.115.115", "223.5.5.5", "223.6.6.6", "119.29.29.29", "180.76.76.76"),
        *("77.88.8.8", "77.88.8.1", "156.154.70.1", "156.154.71.1", "8.26.56.26", "8.20.247.20"),
        *("2606:4700:4700::1111", "2606:4700:4700::1001", "2001:4860:4860::8888", "2001:4860:4860::8844"),
        *("2620:fe::fe", "2620:fe::9", "2620:119:35::35", "2620:119:53::53"),
    )
)

# Keys that vendors publish in their documentation, as the first 16 hex digits of their SHA-256.
_DOCUMENTATION_KEYS = frozenset(
    {
        "0011cc25eb432071",
        "2037abcaffb2b777",
        "3a8b61d0f636b007",
        "8731261cb72d8626",
        "a6c814bc555ae62c",
        "dc0fcf046c61640c",
        "ea9bb1082cf95663",
        "f56e323494a6ffc2",
    }
)

# Four characters that stand for a class each, then a number: see `privacy.replacement`.
_STAND_IN = re.compile(r"[xX0aA]{4}\d{4}=*$")
_PLACEHOLDER_TAG = re.compile(r"<[A-Z][A-Z_]{1,30}_\d{1,9}>")

# A value that refers to another place, or stands for a value to be filled in.
_REFERENCE = re.compile(
    r"""
      \$[({]|\{\{|\}\}|(?:^|\W)\$\w|<%|%>              # shell, template engines
    | ^[$<\[({]|^%\w+%$|^\d+%$                # $VAR, <value>, [value], {value}, %VAR%, 50%
    | %\(\w+\)|%[sdvqr]\b|\{\w*(?:\.\w+)*\}    # format strings
    | &lt;|&\#
    | \bos\.(?:environ|getenv)|process\.env|\bgetenv\b|\benv\.|\bsecrets\.|\bvars?\.|\bENV\[
    | ^(?:vault|ref|secret|secretsmanager|ssm|env|file|arn|gcp|aws|azure|op|doppler|kms|resolve):
    | ^(?:https?|file|ldaps?|s3|gs)://[^:@]*$
    """,
    re.VERBOSE | re.IGNORECASE,
)
# @VAR@, &anchor, *alias, #id; or a password that begins so.
_SIGIL = re.compile(r"^[%@&*#]")
_TEMPLATE = re.compile(r"\$\{|\$\(|\{\{|\}\}|<%|%>|^\$|^%\w+%$|%\(\w+\)s|^\{\w*\}$")
_FILLER = re.compile(
    r"""
      x{4}|\*{3}|\.{3}|\#{4}|-{4}|_{4}|\?{3}|•|…
    | example|placeholder|your|change.?(?:me|it|this)|replace|insert|redacted|dummy|sample|fixme|todo
    | (?:^|[\W_])(?:my|the|some|a|an|enter|put|add|fill|set|use|get|foo|fake|mock|test|none|null|nil|undefined)
      [\W_](?:[\w-]*[\W_])?(?:password|passwd|passphrase|pwd|pass|secret|token|key|value|here)
    | [\W_]here$|^here[\W_]|\bgoes\b|not[-_ ]?(?:set|used|a|an)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Fillers that cannot stand in a random token by chance.
_TOKEN_FILLER = re.compile(
    r"x{8}|X{8}|\*{4}|\.{3}|#{4}|-{6}|_{6}|EXAMPLE|example|YOUR|REDACTED|PLACEHOLDER|…"
)


def is_documentation_domain(domain: str) -> bool:
    """Whether `domain` is reserved for documentation, tests or a private network."""
    return _DOCUMENTATION_DOMAIN.search(domain.lower()) is not None


def is_documentation_email(address: str) -> bool:
    """Whether nobody reads mail at `address`."""
    local, _, domain = address.lower().rpartition("@")
    if local in ("git", "hg", "svn") or local.endswith(("/git", ":git")):
        return True
    return is_documentation_domain(domain) or _SHARED_MAILBOX.search(domain) is not None


@lru_cache(maxsize=65_536)
def is_nobodys_ip(address: IPv4Address | IPv6Address) -> bool:
    """Whether `address` names no machine on the internet, or one of the public resolvers.

    Loopback, unspecified, private and cluster networks, link-local, multicast, documentation (RFC 5737, RFC 3849).
    """
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_nobodys_ip(address.ipv4_mapped)
        if address.packed[:12] == bytes(12):
            return True
    return not address.is_global or address.is_multicast or address in PUBLIC_RESOLVERS


def is_stand_in(value: str) -> bool:
    """Whether `value` is, or holds, what the replacement writes: a tag such as `<TOKEN_1>`, or a stand-in."""
    return _PLACEHOLDER_TAG.search(value) is not None or _STAND_IN.search(value) is not None


def without_tags(text: str) -> str:
    """`text` without the tags that a replacement has put there."""
    return _PLACEHOLDER_TAG.sub("", text)


def is_template(value: str) -> bool:
    """Whether `value` is filled in by a template engine or a shell: what even a random string cannot hold by chance."""
    return _TEMPLATE.search(value) is not None


def is_reference(value: str) -> bool:
    """Whether `value` names the place of a secret (`${VAR}`, `{{ x }}`, `os.environ[...]`) instead of holding one."""
    if _REFERENCE.search(value) is not None:
        return True
    return _SIGIL.search(value) is not None and not mixes_characters(value)


def is_filler(value: str) -> bool:
    """Whether somebody wrote `value` to be replaced: `changeme`, `xxxx`, `your-password`, `<token>`."""
    return _FILLER.search(value) is not None or is_stand_in(value)


def is_token_filler(value: str) -> bool:
    """Whether a token in a provider's format is a filler or a published documentation key."""
    return _TOKEN_FILLER.search(value) is not None or is_stand_in(value) or is_documentation_key(value)


def is_documentation_key(value: str) -> bool:
    """Whether a provider has published `value` as an example that opens nothing."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16] in _DOCUMENTATION_KEYS
