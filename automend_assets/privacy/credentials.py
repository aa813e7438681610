"""Validators of secrets that are known by their place: the name they are assigned to, a URL, a header, a command.

Here: which names hold a secret, and which values people and machines give them. Not here: formats of providers
(`privacy.tokens`), references and placeholders (`privacy.allow`).
"""

from __future__ import annotations

import base64
import binascii
import re

from automend_assets.privacy.allow import is_filler, is_reference, is_stand_in, is_template, is_token_filler
from automend_assets.privacy.place import Place
from automend_assets.privacy.randomness import entropy, looks_random, mixes_characters

WORDY_PASSWORDS = frozenset(
    """
    password passwd pass pwd token username user name login email key value string text str none null true false
    value database default build required optional hidden default undefined unknown admin_password passphrase
    credentials credential
    """.split()  # noqa: SIM905
)
"""Values, in lower case, that only name what belongs there."""


def uncommon(place: Place) -> bool:
    """A value given by its place (a header, a query): no reference, no filler, at least a little random."""
    value = place.value
    if is_reference(value) or is_filler(value) or not value.isascii():
        return False
    return len(value) >= 8 and (
        looks_random(value) or (entropy(value) > 2.5 and sum(c.isdigit() for c in value) > 2)
    )


def basic_credentials(place: Place) -> bool:
    """Base64 of `user:password`, or a random string in its place."""
    value = place.value
    if is_reference(value) or is_stand_in(value):
        return False
    try:
        decoded = base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (ValueError, binascii.Error):
        return looks_random(value)
    user, colon, password = decoded.partition(b":")
    if colon and user.isascii() and password.isascii():
        return (
            len(password) > 0
            and not is_reference(password.decode())
            and password not in (b"password", b"pass")
        )
    return looks_random(value)


def url_password(place: Place) -> bool:
    """The password of `scheme://user:password@host`."""
    value = place.value
    if is_reference(value) or is_filler(value) or (value.isdigit() and len(value) < 6):
        return False
    if value.lower() in ("pass", "pwd", "passwd", "pw", "xxx", "x-oauth-basic", "token"):
        return False
    # A colon and an at sign apart by more than a password: prose, or a port and a mention.
    return not value.startswith(("//", ":")) and "\\n" not in value


def command_password(place: Place) -> bool:
    """The password of `curl -u user:password` and the like."""
    value = place.value
    return (
        not is_reference(value)
        and not is_filler(value)
        and value.lower() not in WORDY_PASSWORDS
        and value.lower() not in ("test", "foo", "bar", "port")
        and not value.startswith(("/", "./", "~/", "file:"))
        and len(value) >= 4
    )


# --- assignments to a telling name ----------------------------------------------------------------

# The name, and all between it and its value.
_NAME = re.compile(r"([\w$.-]+)[\"'`\]\\]{0,4}[ \t]*(?::=|=>|===?|[=:,]|\|\||\?\?)[^=:]*$")
# `setPassword("...")`, `ENV PASSWORD ...`
_CALL = re.compile(r"([\w$.-]+)(?:\([ \t]*|[ \t]+)[\"'`]?$")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\W_]+")
# The last word of a name that says it is not the secret itself.
_NOT_THE_SECRET = frozenset(
    """
    name names id ids ref refs file files path paths dir url uri urls type types length len size sizes count
    policy field fields label labels placeholder hint prompt regex pattern format algorithm alg header headers
    prefix suffix expiry expires expiration expire ttl timeout version enabled enable required requirements
    class style input inputs text message msg error errors valid validity validator validation min max reset
    change changed confirm confirmation index idx col column columns attr attribute attributes params param
    parameter parameters function func fn method provider providers service store storage manager factory
    builder handler listener filter rule rules strength hash hashed digest salt encoder encoding encoded decoder
    source src kind info data object obj map list array set dict usage scope scopes endpoint issuer audience aud
    status state mode model form page view button title description desc visible visibility show toggle help
    forgot forgotten recovery renewal rotation backend namespace arn mount volume lookup ring chain pair pairs
    tag tags bits spec char chars character characters location request response cache limit limits interval
    period age lifetime env var variable template group role user username email login checker tokenizer ization
    izer position positions identifier identifiers selector resource kms vault
    """.split()  # noqa: SIM905
)
# Words before `key` or `token` that say it opens nothing.
_NOT_A_KEY = frozenset(
    """
    public pub primary foreign sort partition cache map dict hash object index sequence row column schema i18n
    translation route query search group lookup bucket event message metric field prop property data json xml
    yaml config option setting menu hot short arrow ctrl next page continuation sync csrf xsrf eos bos pad unk
    sep cls mask start end stop special parse lex syntax cancellation first last prev previous current curr look
    ahead open close left right word sub id kms name artist track fingerprint thumb known host idempotency dedup
    unique composite natural item
    """.split()  # noqa: SIM905
)
_PASSWORD_LABELS = re.compile(
    r"(?i)pass(?:word|wd|phrase|code)|passwort|mot de passe|contrase|senha|wachtwoord|kennwort|hasło|"
    r"^(?:text|string|str|bytes|int|bool|boolean|required|optional|off|on|true|false|none|null|yes|no|undefined|hidden|"
    r"current|new|old|md5|sha1|sha256|bcrypt|plain|basic|default|admin|user|username|login|email|oauth2?|ldap|saml|"
    r"digest|incorrect|invalid|missing|forgot|object|array|any|self|this|char|varchar|authorization_code|implicit|"
    r"client_credentials|refresh_token|opaque|vault|external|sensitive|token|key)$"
)
_IDENTIFIER_PATH = re.compile(r"[A-Za-z_$][\w$]*(?:(?:\.|->|::)[A-Za-z_$][\w$]*)+(?:\(.*)?")
_PLAIN_WORDS = re.compile(r"[A-Za-z]+(?:[ '-][A-Za-z]+)+[.?!:]*|[A-Z][a-z]+[.?!:]*")


def _name_of(place: Place) -> list[str]:
    """The words, in lower case, of the name that the value is assigned to."""
    lead = place.text[max(0, place.begin - 48) : place.start].decode("latin-1")
    found = _NAME.search(lead) or _CALL.search(lead)
    return [word.lower() for word in _CAMEL.split(found.group(1)) if word] if found else []


_PASSWORD_WORD = re.compile(r"pass(?:words?|wd|phrase|code)$|passwort$|senha$|pwd$|^(?:\w{0,6}pass)$")
_SECRET_WORD = re.compile(
    r"(?:secret|token|key|credentials?|cookie|apikey|bearer|passphrase|password)s?$|^(?:o?auth|authorization|pat|salt|"
    r"signature|sig)$"
)


def _has_word(words: list[str], pattern: re.Pattern[str]) -> bool:
    return any(pattern.search(word) for word in words[-4:])


def _names_a_secret(words: list[str]) -> bool:
    while words and words[-1].isdigit():
        words = words[:-1]
    if not words or words[-1] in _NOT_THE_SECRET:
        return False
    return not (
        len(words) > 1 and words[-1] in ("key", "token", "keys", "tokens") and words[-2] in _NOT_A_KEY
    )


def assigned_password(place: Place) -> bool:
    """A quoted value of a name such as `password`: people choose these, so words count, labels and paths don't."""
    value = place.value
    if (
        len(value) < 5
        or value[0] in ",;:)"
        or value[-1] in ":=,("
        or not value.isascii()
        or is_reference(value)
        or is_filler(value)
    ):
        return False
    words = _name_of(place)
    if not _names_a_secret(words) or not _has_word(words, _PASSWORD_WORD) or value.lower() in WORDY_PASSWORDS:
        return False
    if value.isalpha() and (not value.islower() or re.search(r",[ \t]*[\"'`]?$", place.before(4))):
        # A camel-case name, or the next word of a list.
        return value.isupper() and len(value) > 11
    if _PASSWORD_LABELS.search(value) and not any(c.isdigit() for c in value):
        return (
            _PASSWORD_LABELS.fullmatch(value) is None
            and value.isalpha()
            and value.islower()
            and len(value) > 12
        )
    if _IDENTIFIER_PATH.fullmatch(value) or (value[0] in "/\\.~" and "/" in value):
        return False
    if " " in value or _PLAIN_WORDS.fullmatch(value):
        return sum(c.isdigit() for c in value) > 1 and value.count(" ") < 2
    return "(" not in value and ");" not in value and "://" not in value


_REGEX = re.compile(r"\[[^\]]*\w-\w[^\]]*\]|\\[wdsb]|\(\?[:=!P]")


def assigned_secret(place: Place) -> bool:
    """A value of a name such as `token` or `api_key`: machines draw these, so it must look random."""
    value = place.value
    # In the order of their cost.
    if not looks_random(value):
        return False
    words = _name_of(place)
    if not _names_a_secret(words) or not _has_word(words, _SECRET_WORD):
        return False
    return not is_template(value) and not is_token_filler(value) and not _REGEX.search(value)


_CODE_LINE = re.compile(
    rb"(?m)^[ \t]*(?:import[ \t]+[\w.{*\"'(]|from[ \t]+[\w.]+[ \t]+import\b|def[ \t]+\w+[ \t]*\(|class[ \t]+\w+|"
    rb"#include\b|package[ \t]+[\w.]+;?[ \t]*$|using[ \t]+[\w.]+;|(?:public|private|protected|static|final)[ \t]|"
    rb"(?:const|let|var)[ \t]+[\w{\[]|(?:async[ \t]+)?function\b|module\.exports|func[ \t]+\w*\(|return\b|"
    rb"\}[);,]*[ \t]*$)"
)
_COMMENT_BEFORE = re.compile(r"(?:^|\n)[ \t]*(?:#|//|;|\*|--|REM )[^\n]*$", re.IGNORECASE)


def _in_code(place: Place) -> bool:
    """Whether the document is a program, in which an unquoted word is a variable."""
    window = place.text[max(0, place.start - 16_384) : place.end + 4_096]
    if not _CODE_LINE.search(window):
        return False
    return not _COMMENT_BEFORE.search(place.before(200))


def bare_password(place: Place) -> bool:
    """An unquoted value of `password=`, as in `.env`, INI, properties and YAML."""
    value = place.value
    if not assigned_password(place) or value.lower() in WORDY_PASSWORDS:
        return False
    if re.search(r"[()\[\]{}<>,;`\"'\\]", value) or value[0] in "-=:!|>*&/.":
        return False
    return not _in_code(place)


def inline_password(place: Place) -> bool:
    """An unquoted value amid a line (`-e PASSWORD=...`): more than a word, since prose and programs have those."""
    value = place.value
    return not value.isalpha() and re.fullmatch(r"[a-z_]+", value) is None and bare_password(place)


def bare_secret(place: Place) -> bool:
    """An unquoted value of `token=`, as in `.env`, INI, properties and YAML."""
    return assigned_secret(place) and place.after(1) not in ("(", "[") and not _in_code(place)


def connection_password(place: Place) -> bool:
    """The password of a connection string (`Server=...;Password=...;`)."""
    value = place.value
    return (
        not is_reference(value.lstrip("#")) and not is_filler(value) and value.lower() not in WORDY_PASSWORDS
    )


def named_value(place: Place) -> bool:
    """A value beside its name (`name: DB_PASSWORD` / `value: ...`): the name's last word decides how it is judged."""
    head = place.text[place.begin : place.start].decode("latin-1")
    name = re.split(r"(?i)[\"']?(?:[ \t,;]|\r?\n)[ \t\r\n,-]*[\"']?value\b", head)[0]
    words = [word.lower() for word in _CAMEL.split(name) if word]
    value = place.value
    if not _names_a_secret(words) or is_reference(value) or is_filler(value) or not value.isascii():
        return False
    if any(word.startswith(("pass", "pwd")) for word in words[-2:]):
        return (
            value.lower() not in WORDY_PASSWORDS
            and not _PASSWORD_LABELS.fullmatch(value)
            and value[0] not in "/."
        )
    return (
        looks_random(value)
        or mixes_characters(value)
        or (words[-1] == "secret" and value.isalnum() and any(c.isdigit() for c in value))
    )


def xml_password(place: Place) -> bool:
    """The text of an element such as `<password>`."""
    value = place.value
    words = [
        word.lower()
        for word in _CAMEL.split(place.text[place.begin + 1 : place.start - 1].decode("latin-1"))
        if word
    ]
    if not _names_a_secret(words) or is_reference(value) or is_filler(value) or " " in value.strip():
        return False
    if words[-1].startswith("pass"):
        return value.lower() not in WORDY_PASSWORDS and _PASSWORD_LABELS.search(value) is None
    return looks_random(value)


_PROVIDER_NAME_END = re.compile(r"(?i)(?:key|token|secret|api|auth|pat|password|pass|license|cred)s?$")
_PROVIDER_ALONE = re.compile(r"(?i)(?:sourcegraph|datadog|mailgun|okta|meraki|fastly|algolia)$")


def provider_key(place: Place) -> bool:
    """A random value of a name that has the provider in it and ends in `key`, `token` or the like."""
    head = place.text[place.begin : place.start].decode("latin-1")
    name = re.split(r"[\"' \t]*(?::|=|\|)", head)[0].strip()
    words = [word.lower() for word in _CAMEL.split(name) if word]
    if not _names_a_secret(words):
        return False
    if not _PROVIDER_NAME_END.search(name) and not _PROVIDER_ALONE.search(name):
        return False
    return looks_random(place.value) and not is_token_filler(place.value) and not _in_code_unquoted(place)


def _in_code_unquoted(place: Place) -> bool:
    return place.before(1) not in ("'", '"', "`") and _in_code(place)
