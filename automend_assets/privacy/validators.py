"""Validators: decide whether a place that a rule's pattern matched holds personal data or a secret.

Here: checksums, number plans, entropy, context, and the locators that find values which no single pattern can bound.
Each is a pure function of the document's bytes and a place in it, registered under the name that rules use. Not here:
which texts are harmless whatever their rule (`privacy.allow`), and the patterns (`privacy.rules`).
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from itertools import pairwise
from typing import NamedTuple

import phonenumbers

from automend_assets.privacy.allow import (
    is_documentation_email,
    is_filler,
    is_nobodys_ip,
    is_reference,
    is_stand_in,
    is_template,
    is_token_filler,
    without_tags,
)


class Place(NamedTuple):
    """A candidate: bytes `start` to `end` of the document `text`; `begin` is where its whole match starts."""

    text: bytes
    start: int
    end: int
    begin: int

    @property
    def value(self) -> str:
        """The candidate; Latin-1, so that one character is one byte."""
        return self.text[self.start : self.end].decode("latin-1")

    def before(self, length: int) -> str:
        """Up to `length` bytes before the candidate."""
        return self.text[max(0, self.start - length) : self.start].decode("latin-1")

    def words_before(self, length: int) -> str:
        """As `before`, without the tags of an earlier replacement, whose names are no words of the text."""
        return without_tags(self.before(length + 48))[-length:]

    def after(self, length: int) -> str:
        """Up to `length` bytes after the candidate."""
        return self.text[self.end : self.end + length].decode("latin-1")


Validator = Callable[[Place], bool]
Locator = Callable[[Place], Iterator[tuple[int, int]]]

# --- entropy --------------------------------------------------------------------------------------

_HEX = re.compile(r"(?:0x)?[0-9a-fA-F]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_VERSIONED = re.compile(r"(?:^|[-_@v])\d{1,3}\.\d{1,3}(?:\.\d{1,3})?(?:[-.][A-Za-z]+\d*)?$|\d{4}-\d\d-\d\d")
_RUN = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{4,}")
_UNSPEAKABLE = re.compile(r"[bcdfghjklmnpqrstvwxz]{4}|[aeiou]{4}", re.IGNORECASE)


def entropy(value: str) -> float:
    """Shannon entropy in bits per character; 0.0 for the empty string."""
    length = len(value)
    counts = (value.count(character) for character in set(value))
    return -sum(count / length * math.log2(count / length) for count in counts)


def _switches(value: str) -> float:
    """Share of neighbouring characters of different classes: near 0 in words, above 0.4 in random text."""
    classes = ["d" if c.isdigit() else "u" if c.isupper() else "l" if c.islower() else "s" for c in value]
    return sum(a != b for a, b in pairwise(classes)) / max(1, len(value) - 1)


def _letters_look_random(value: str) -> bool:
    return entropy(value) > 3.9 and _switches(value) > 0.3 and _worded(value) < 0.5 * len(value)


def _worded(value: str) -> int:
    """Characters of `value` in runs of letters that could be words."""
    runs = (run for run in _RUN.findall(value) if len(run) > 3 and not _UNSPEAKABLE.search(run))
    return sum(len(run) for run in runs if any(c in "aeiouyAEIOUY" for c in run))


def looks_random(value: str) -> bool:
    """Whether a machine drew `value`: letters and digits mixed as no name, word, path or version mixes them."""
    length = len(value)
    if length < 10 or not value.isascii() or value.isalpha():
        return length >= 20 and value.isalpha() and value.isascii() and _letters_look_random(value)
    if _VERSIONED.search(value):
        return False
    if _UUID.fullmatch(value):
        return entropy(value) > 2.8
    digits = sum(c.isdigit() for c in value)
    letters = sum(c.isalpha() for c in value)
    if letters < 2:
        return False
    bits = entropy(value)
    if digits + letters < 0.75 * length:
        symbols = {c for c in value if not c.isalnum()}
        return length >= 16 and bits > 3.8 and digits > 0 and len(symbols - set("-_./: ")) > 2
    if _HEX.fullmatch(value):
        return length >= 16 and digits >= 2 and bits > 2.7
    worded = _worded(value)
    if digits == 0:
        return length >= 20 and _letters_look_random(value)
    if worded > 0.55 * length:
        return False
    return bits > (2.9 if length < 16 else 3.2) and (_switches(value) > 0.22 or (length >= 24 and bits > 4.2))


# --- personal data --------------------------------------------------------------------------------

# Generic top-level domains in wide use. Country codes are any two letters; others would let code in (`x@w.dot`).
_GENERIC_TLDS = frozenset(
    """
    academy agency ai aero app art asia associates band bank bar bargains best bet bid bike bio biz blog blue
    boutique build builders business buzz cafe cam camera camp capital cards care careers casa cash casino cat
    catering center ceo chat cheap church city claims cleaning click clinic clothing cloud club codes coffee
    college com community company computer condos construction consulting contact contractors cooking cool coop
    country coupons courses credit cruises dance data date dating deals degree delivery democrat dental design
    dev diamonds digital direct directory discount dog domains download earth education edu email energy
    engineer engineering enterprises equipment estate events exchange expert exposed express fail family fans
    farm fashion film finance financial fish fit fitness flights florist football forsale foundation fun fund
    furniture futbol fyi gallery game games garden gifts gives glass global gmbh gold golf gov graphics gratis
    green gripe group guide guitars guru health help host holdings holiday home horse hospital hosting house icu
    immo immobilien industries info ink institute insure int international investments jetzt jewelry jobs kim
    kitchen land law lawyer lease legal life lighting limited limo link live llc loan loans lol london love ltd
    maison management market marketing markets mba media memorial men mil mobi moda money mortgage moscow museum
    name navy net network news ngo ninja nyc one online ooo org paris partners parts party pet pharmacy photo
    photography photos pics pictures pink pizza plumbing plus porn post press pro productions properties
    property pub recipes red rehab reise reisen rent rentals repair report republican rest restaurant review
    reviews rip rocks run sale salon sarl school schule science security services sex sexy shoes shop shopping
    show singles site ski social software solar solutions space store stream studio style supplies supply
    support surf surgery systems tattoo tax taxi team tech technology tel tennis theater tickets tienda tips
    tires today tokyo tools top tours town toys trade training travel university uno vacations ventures vet
    viajes video villas vip vision vodka vote voyage wales watch webcam website wedding wien wiki win wine work
    works world wtf xxx xyz yoga zone
    """.split()  # noqa: SIM905
)
_USER_INFO_BEFORE = re.compile(r"://(?:[^\s/@\"'<>]*:)?$")
_FILE_SUFFIXES = frozenset(
    {"js", "py", "ts", "md", "sh", "rb", "go", "rs", "cc", "so", "gz", "hh", "cs", "ps", "pl"}
)
_WORD_AT = re.compile(r"[\[({<]?[ \t]*(?:at|@)[ \t]*[\])}>]?", re.IGNORECASE)


def email(place: Place) -> bool:
    value = place.value
    local, _, domain = value.rpartition("@")
    if place.before(1).isalnum() or place.before(1) in tuple("._%+-"):
        return False
    labels = domain.lower().split(".")
    if any(not label or label[0] == "-" or label[-1] == "-" for label in labels):
        return False
    if local[:1] in ".-" or local[-1:] == "." or ".." in local:
        return False
    top = labels[-1]
    if top in _FILE_SUFFIXES and ((len(labels) < 3 and not local[0].isalpha()) or place.after(1) in "(/"):
        return False
    if len(top) != 2 and top not in _GENERIC_TLDS and not top.startswith("xn--"):
        return False
    if labels[0] in ("self", "this", "cls") or place.after(1) in ("(", "["):
        return False
    if _USER_INFO_BEFORE.search(place.before(96)):
        return False
    return not is_documentation_email(value) and not is_stand_in(local)


def obfuscated_email(place: Place) -> bool:
    value = re.sub(r"[ \t]*[\[({<]?[ \t]*\bdot\b[ \t]*[\])}>]?[ \t]*", ".", place.value, flags=re.IGNORECASE)
    value = re.sub(
        r"[ \t]*[\[({<]?[ \t]*\bat\b[ \t]*[\])}>]?[ \t]*", "@", value, count=1, flags=re.IGNORECASE
    )
    local, _, domain = value.partition("@")
    top = domain.lower().rpartition(".")[2]
    known = top in _GENERIC_TLDS or (len(top) == 2 and top.isalpha())
    return bool(local) and known and not is_documentation_email(value)


_VERSION_BEFORE = re.compile(
    r"(?:(?:versions?|ver|release|rev|build|tag|chart|image)[\"']?[ \t]*[:=]?[ \t]*[\"']?"
    r"|[\w./-]:|[=~^<>!]=[ \t]*|[~^<>][ \t]*|[/_-]v?|\bv|@)$",
    re.IGNORECASE,
)
_URL_BEFORE = re.compile(r"(?:://(?:[^\s/@\"']*@)?|@)$")
_ADDRESS_WORD = re.compile(
    r"\b(?:ip|addr|address|host|hosts|server|dns|gateway|endpoint|inet|peer)", re.IGNORECASE
)


# X.500 attributes, certificate extensions, and what is registered under 1.3.6: dotted, and no addresses.
_OBJECT_IDENTIFIERS = ("2.5.29.", "2.5.4.", "1.3.6.", "0.9.")


def ipv4(place: Place) -> bool:
    """Not a version, not part of a longer number, and somebody's address."""
    before, after = place.before(24), place.after(2)
    if before[-1:] == "." or (after[:1] == "." and after[1:2].isdigit()) or after[:1] in ("-", "_", "+"):
        return False
    value = place.value
    if value.startswith(_OBJECT_IDENTIFIERS) or place.after(9) == ".in-addr.":
        return False
    octets = value.split(".")
    if any(len(octet) > 1 and octet[0] == "0" for octet in octets) or any(int(o) > 255 for o in octets):
        return False
    if _VERSION_BEFORE.search(before) and not _URL_BEFORE.search(before):
        return False
    if all(int(octet) < 32 for octet in octets) and not _ADDRESS_WORD.search(place.words_before(24)):
        return False
    return not is_nobodys_ip(IPv4Address(value))


def ipv6(place: Place) -> bool:
    """A whole address: not a MAC, time, scope operator (`add::foo`) or slice, and somebody's."""
    before, after = place.before(1), place.after(1)
    if before in (":", ".") or after in (":", "_") or before.isalnum() or after.isalnum():
        return False
    value = place.value
    groups = [group for group in value.split(":") if group]
    if not any(character.isdigit() for character in value) or len(groups) < 3:
        return False
    try:
        address = IPv6Address(value)
    except AddressValueError:
        return False
    full = len(groups) == 8
    if not full and len(groups[0]) < 3 and not address.ipv4_mapped:
        return False
    return not is_nobodys_ip(address)


# Regions whose number plans decide on numbers without a country code; all plans that are common in the open.
_REGIONS = (
    "US",
    "GB",
    "DE",
    "FR",
    "IT",
    "ES",
    "AU",
    "IN",
    "BR",
    "CN",
    "JP",
    "TR",
    "PH",
    "ZA",
    "DK",
    "CH",
    "HU",
    "SE",
)
# 555-0100 to 555-0199 belong to nobody; the stand-ins of `privacy.replacement` end so.
_FICTION = re.compile(r"55501\d\d$|0000\d{3}$")
_PHONE_WORD = re.compile(
    r"\b(?:phone|mobile|cell|tel|fax|call|contact|whatsapp|office|desk|home|work)\b", re.IGNORECASE
)
_EXTENSION = re.compile(r"[ ,;]*(?:x|ext\.?|extension)[ .:]*\d{1,6}$", re.IGNORECASE)


@lru_cache(maxsize=16_384)
def _is_phone(number: str, strict: bool) -> bool:
    regions: tuple[str | None, ...] = (None,) if number.startswith("+") else _REGIONS
    for region in regions:
        try:
            parsed = phonenumbers.parse(number, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed) if strict else phonenumbers.is_possible_number(parsed):
            return True
    return False


def _phone_digits(place: Place) -> tuple[str, str]:
    number = _EXTENSION.sub("", place.value)
    return number, re.sub(r"\D", "", number)


def _in_longer_number(place: Place) -> bool:
    before, after = place.before(2), place.after(2)
    return (before[-1:] in ".-+/*%#" and before[-1:] != "" and before[:1].isalnum()) or (
        after[:1] in ".-+/*%" and after[1:2].isdigit()
    )


def international_phone(place: Place) -> bool:
    number, digits = _phone_digits(place)
    if not 8 <= len(digits) <= 15 or len(set(digits)) < 3 or _FICTION.search(digits):
        return False
    if place.after(1).isalnum() or place.before(1).isalnum():
        return False
    if number.startswith("00") and number.isdigit():
        return False
    before = place.before(2)
    if before[-1:] in ("+", "/", ".", "-") or (number.startswith("00") and re.search(r"[\w,] $", before)):
        return False
    plus = number if number.startswith("+") else "+" + digits.removeprefix("00")
    bare = "+" + re.sub(r"\D", "", re.sub(r"\(0\)", "", plus))
    # Digits without a separator are an offset (`+1234567890`) unless the plan knows the number.
    worded = _PHONE_WORD.search(place.words_before(24)) or _PHONE_WORD.search(place.after(12))
    return _is_phone(bare, re.fullmatch(r"\+\d+", number) is not None and not worded)


def local_phone(place: Place) -> bool:
    """Parentheses or the North American form: the layout vouches for the kind, the plans for the length."""
    number, digits = _phone_digits(place)
    if re.match(r"\((?:19|20)\d\d\)", number) or re.search(r"\d[ ,]?$", place.before(2)):
        return False
    if not 7 <= len(digits) <= 15 or len(set(digits)) < 3 or _FICTION.search(digits):
        return False
    if place.after(1).isalnum() or place.before(1).isalnum() or _in_longer_number(place):
        return False
    return _is_phone(digits, False)


def worded_phone(place: Place) -> bool:
    number, digits = _phone_digits(place)
    if not 7 <= len(digits) <= 15 or len(set(digits)) < 3 or _FICTION.search(digits):
        return False
    if place.after(1).isalnum() or place.before(1).isalnum() or _in_longer_number(place):
        return False
    if re.fullmatch(r"(?:19|20)\d\d[-./ ](?:0?\d|1[0-2])[-./ ](?:[0-2]?\d|3[01])(?:[ T].*)?", number):
        return False
    return _is_phone(digits, False)


def trunk_phone(place: Place) -> bool:
    """A trunk prefix and groups: nothing but a number that some plan has assigned."""
    _, digits = _phone_digits(place)
    if (
        not 9 <= len(digits) <= 12
        or len(set(digits)) < 4
        or _FICTION.search(digits)
        or _in_longer_number(place)
    ):
        return False
    before, after = place.before(2), place.after(2)
    if before[-1:].isalnum() or re.search(r"\d[ ,]$", before) or re.match(r"[ ,]\d", after):
        return False
    return _is_phone(digits, True)


def luhn(digits: str) -> bool:
    """The checksum of ISO/IEC 7812-1 over a string of digits."""
    odd = sum(int(digit) for digit in digits[-1::-2])
    even = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (odd + even) % 10 == 0


# Issuer ranges with the lengths that each issues.
_ISSUERS = (
    (re.compile(r"4"), {13, 16, 19}),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), {16}),
    (re.compile(r"3[47]"), {15}),
    (re.compile(r"30[0-5]|309|36|3[89]"), {14, 16}),
    (re.compile(r"6011|64[4-9]|65"), {16, 19}),
    (re.compile(r"35(?:2[89]|[3-8])"), {16, 19}),
    (re.compile(r"2131|1800"), {15}),
    (re.compile(r"62|81"), {16, 17, 18, 19}),
    (re.compile(r"5018|5020|5038|58|6304|6759|676[1-3]|0604|50"), {12, 13, 14, 15, 16, 18, 19}),
)
_CARD_WORD = re.compile(
    r"\b(?:card|cards|cc|credit|debit|visa|mastercard|amex|payment|pan|maestro|diners|jcb|kreditkarte|carte|tarjeta)\b",
    re.IGNORECASE,
)
_GROUPED_CARD = re.compile(r"\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{1,3})?|3\d{3}([ -])\d{6}\2\d{4,5}")


def card(place: Place) -> bool:
    """Luhn, issuer and length; and beside bare digits a word or a length that no clock or offset has."""
    before, after = place.before(48), place.after(24)
    if before[-1:] in (".", "-", "+", "_", "#") and before[-2:-1].isalnum():
        return False
    if after[:1] in (".", "-", "_") and after[1:2].isalnum():
        return False
    value = place.value
    digits = re.sub(r"\D", "", value)
    if len(set(digits)) < 2 or not luhn(digits):
        return False
    worded = _CARD_WORD.search(before) or _CARD_WORD.search(after)
    issued = any(len(digits) in lengths and prefix.match(digits) for prefix, lengths in _ISSUERS)
    if not issued and not (worded and digits[0] in "23456"):
        return False
    if len(digits) != len(value):
        return _GROUPED_CARD.fullmatch(value) is not None
    if worded:
        return True
    alone = place.start == 0 and place.end == len(place.text)
    return alone or (
        len(digits) in (15, 16) and digits[0] in "3456" and before[-1:] not in ("=", "(", "[", ",")
    )


_SSN_WORD = re.compile(r"\bssn\b|social[ _-]?sec", re.IGNORECASE)


def ssn(place: Place) -> bool:
    """Number ranges of the Social Security Administration; separators that differ need a word nearby."""
    before, after = place.before(40), place.after(2)
    if before[-1:] in (".", "-", "+", "/") or (after[:1] in (".", "-", "/") and after[1:2].isalnum()):
        return False
    value = place.value
    digits = re.sub(r"\D", "", value)
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000" or len(set(digits)) == 1:
        return False
    if digits in ("078051120", "219099999", "123456789", "111223333"):
        return False
    separators = re.sub(r"\d", "", value)
    if separators == "--" or _SSN_WORD.search(before):
        return True
    if separators in ("..", "  "):
        lead, tail = place.before(2), after
        return not (lead[:1].isdigit() or tail[1:2].isdigit())
    return False


# ISO 13616: length of an IBAN by country.
_IBAN_LENGTHS = dict(
    part.split(":")
    for part in """
    AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BI:27 BR:29 BY:28 CH:21 CR:22 CY:28 CZ:24 DE:22 DJ:27
    DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FK:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HR:21 HU:28 IE:22
    IL:23 IQ:23 IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 LY:25 MC:27 MD:24 ME:22 MK:19
    MN:20 MR:27 MT:31 MU:30 NI:28 NL:18 NO:15 OM:23 PK:24 PL:28 PS:29 PT:25 QA:29 RO:24 RS:22 RU:33 SA:24 SC:31
    SD:18 SE:24 SI:19 SK:24 SM:27 SO:23 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29 VA:22 VG:24 XK:20 YE:30
    """.split()  # noqa: SIM905
)
_IBAN_STAND_IN = re.compile(r"[A-Z]{2}\d\d[X0]+\d{3}")


def iban_checksum(compact: str) -> int:
    """ISO 7064 MOD 97-10 of an IBAN without blanks; 1 when it is right."""
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97


def iban(place: Place) -> bool:
    compact = place.value.replace(" ", "").replace("-", "").upper()
    if place.before(1).isalnum() or place.after(1).isalnum():
        return False
    if _IBAN_LENGTHS.get(compact[:2]) != str(len(compact)) or _IBAN_STAND_IN.fullmatch(compact):
        return False
    return iban_checksum(compact) == 1


_MAC_WORD = re.compile(r"\b(?:mac|ether|ethernet|hwaddr|physical|bssid|bluetooth|device)", re.IGNORECASE)


def mac(place: Place) -> bool:
    if place.before(1) in (":", "-", ".") or place.after(1) in (":", "-") or place.before(1).isalnum():
        return False
    if place.after(1).isalnum():
        return False
    value = place.value
    digits = re.sub(r"[^0-9a-f]", "", value.lower())
    # RFC 7042: 00-00-5E-00-53-xx is for documentation.
    if len(set(digits)) == 1 or digits.startswith("00005e0053") or digits.startswith("01005e"):
        return False
    if "." in value or value.replace("-", "").isdigit():
        return _MAC_WORD.search(place.words_before(40)) is not None
    return True


# --- secrets in a provider's format ---------------------------------------------------------------


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


def uncommon(place: Place) -> bool:
    """A value given by its place (a header, a query): no reference, no filler, at least a little random."""
    value = place.value
    if is_reference(value) or is_filler(value) or not value.isascii():
        return False
    return len(value) >= 8 and (
        looks_random(value) or (entropy(value) > 2.5 and sum(c.isdigit() for c in value) > 2)
    )


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
    parts = place.value.split(".")
    claims = _json_of(parts[1])
    if not isinstance(claims, dict) or not jwt(place):
        return False
    return "kubernetes.io" in claims or any("kubernetes" in str(key) for key in claims)


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


_WORDY_PASSWORDS = frozenset(
    """
    password passwd pass pwd token username user name login email key value string text str none null true false
    value database default build required optional hidden default undefined unknown admin_password passphrase
    credentials credential
    """.split()  # noqa: SIM905
)


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
        and value.lower() not in _WORDY_PASSWORDS
        and value.lower() not in ("test", "foo", "bar", "port")
        and len(value) >= 4
    )


# --- assignments to a telling name ----------------------------------------------------------------

# The name, and all between it and its value.
_NAME = re.compile(r"([\w$.-]+)[\"'`\]]{0,2}[ \t]*(?::=|=>|===?|[=:,]|\|\||\?\?)[^=:]*$")
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
    found = _NAME.search(place.text[max(0, place.begin - 48) : place.start].decode("latin-1"))
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
    if (
        not _names_a_secret(words)
        or not _has_word(words, _PASSWORD_WORD)
        or value.lower() in _WORDY_PASSWORDS
    ):
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


def assigned_secret(place: Place) -> bool:
    """A value of a name such as `token` or `api_key`: machines draw these, so it must look random."""
    value = place.value
    # In the order of their cost.
    if not looks_random(value):
        return False
    words = _name_of(place)
    if not _names_a_secret(words) or not _has_word(words, _SECRET_WORD):
        return False
    return not is_template(value) and not is_token_filler(value)


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
    if not assigned_password(place) or value.lower() in _WORDY_PASSWORDS:
        return False
    if re.search(r"[()\[\]{}<>,;`\"'\\]", value) or value[0] in "-=:!|>*&/.":
        return False
    return not _in_code(place)


def bare_secret(place: Place) -> bool:
    return assigned_secret(place) and place.after(1) not in ("(", "[") and not _in_code(place)


def connection_password(place: Place) -> bool:
    value = place.value
    return (
        not is_reference(value.lstrip("#")) and not is_filler(value) and value.lower() not in _WORDY_PASSWORDS
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
            value.lower() not in _WORDY_PASSWORDS
            and not _PASSWORD_LABELS.fullmatch(value)
            and value[0] not in "/."
        )
    return looks_random(value) or (
        words[-1] == "secret" and value.isalnum() and any(c.isdigit() for c in value)
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
        return value.lower() not in _WORDY_PASSWORDS and _PASSWORD_LABELS.search(value) is None
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


# --- locators -------------------------------------------------------------------------------------

_PEM_END = re.compile(rb"-----END [A-Z0-9 ]{0,40}-----")
_PEM_BODY = re.compile(
    rb"(?:[A-Za-z0-9+/=]|[ \t\r\n\"',>+|*#-]|\\+[nrt]|Proc-Type: [\w,]*|DEK-Info: [\w,-]*|Version: .*)+"
)
_PEM_LINE = re.compile(rb"[A-Za-z0-9+/=]{16,}")
_MAX_PEM = 64 * 1024


def private_key_body(place: Place) -> Iterator[tuple[int, int]]:
    """From the first to the last character of the key between its BEGIN and END lines, or where it is cut off."""
    stop = min(len(place.text), place.end + _MAX_PEM)
    following = place.text.find(b"-----BEGIN", place.end, stop)
    window = place.text[place.end : stop if following < 0 else following]
    end = _PEM_END.search(window)
    if end is not None:
        body = window[: end.start()]
    else:
        found = _PEM_BODY.match(window)
        body = found.group() if found else b""
    lines = list(_PEM_LINE.finditer(body))
    lines = [
        line
        for line in lines
        if not is_stand_in(line.group().decode()) and entropy(line.group().decode()) > 2
    ]
    if not lines:
        return
    last = lines[-1].end()
    tail = re.match(
        rb"(?:[ \t\r\n\"',+>|*#-]|\\+[nr])*[A-Za-z0-9+/=]{1,15}(?=[^A-Za-z0-9+/=]|$)", body[last:]
    )
    if tail is not None and end is not None:
        last += tail.end()
    yield place.end + lines[0].start(), place.end + last


_SECRET_DATA = re.compile(rb"(?m)^([ \t]*)(data|stringData):[ \t]*(?:#.*)?\r?$")
_DATA_LINE = re.compile(rb"^([ \t]*)(?:- )?([\w.\"'/-]+):(?:[ \t]+(.*?))?[ \t]*\r?$")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{4,}={0,2}")
_MAX_DATA_LINES = 2_000
_MAX_MANIFEST = 256 * 1024


def secret_manifest_values(place: Place) -> Iterator[tuple[int, int]]:
    """The values under `data` and `stringData` of the YAML document that the line `kind: Secret` stands in."""
    text = place.text
    indent = place.start - (text.rfind(b"\n", 0, place.start) + 1)
    start, stop = max(0, place.start - _MAX_MANIFEST), min(len(text), place.end + _MAX_MANIFEST)
    # The nearest line that ends the mapping bounds it, so that many mappings are not read many times.
    for border in (b"\n" + b" " * indent + b"kind:", b"\n---"):
        start = max(start, text.rfind(border, start, place.start - indent - 1) + 1)
        following = text.find(border, place.end, stop)
        stop = stop if following < 0 else following
    for section in _SECRET_DATA.finditer(text, start, stop):
        between = text[min(section.end(), place.end) : max(section.start(), place.start)]
        if len(section.group(1)) == indent and _same_mapping(between, indent):
            yield from _mapping_values(text, section.end() + 1, stop, indent, section.group(2) == b"data")


def _same_mapping(lines: bytes, indent: int) -> bool:
    """Whether no line in `lines` leaves the mapping whose keys stand at `indent`."""
    for line in lines.split(b"\n")[1:-1]:
        stripped = line.lstrip(b" \t")
        if stripped and not stripped.startswith((b"#", b"{{")) and len(line) - len(stripped) < indent:
            return False
    return True


def _mapping_values(
    text: bytes, position: int, stop: int, indent: int, encoded: bool
) -> Iterator[tuple[int, int]]:
    block: tuple[int, int] | None = None
    block_indent = -1
    for _ in range(_MAX_DATA_LINES):
        if position >= stop:
            break
        end = text.find(b"\n", position, stop)
        end = stop if end < 0 else end
        line = text[position:end]
        stripped = line.strip()
        depth = len(line) - len(line.lstrip(b" \t"))
        if stripped and depth <= indent:
            break
        if block_indent >= 0 and (not stripped or depth > block_indent):
            if stripped:
                first = position + depth
                block = (block[0] if block else first, first + len(stripped))
        else:
            if block is not None and _is_secret_value(text[block[0] : block[1]], encoded):
                yield block
            block, block_indent = None, -1
            entry = _DATA_LINE.match(line)
            if entry is not None:
                value = entry.group(3) or b""
                if value[:1] in b"|>" and value:
                    block_indent = depth
                else:
                    offset = position + entry.start(3)
                    if value[:1] in (b'"', b"'") and value[-1:] == value[:1]:
                        offset, value = offset + 1, value[1:-1]
                    else:
                        value = re.sub(rb"[ \t]+#.*$", b"", value)
                    if value and _is_secret_value(value, encoded):
                        yield offset, offset + len(value)
        position = end + 1
    if block is not None and _is_secret_value(text[block[0] : block[1]], encoded):
        yield block


def _is_secret_value(value: bytes, encoded: bool) -> bool:
    """Base64 of more than a placeholder under `data`; any literal under `stringData`."""
    text = value.decode("latin-1")
    if is_reference(text) or is_stand_in(text):
        return False
    if encoded:
        compact = re.sub(rb"\s", b"", value)
        if not _BASE64.fullmatch(compact) or not compact.strip(b"="):
            return False
        try:
            inner = base64.b64decode(compact + b"=" * (-len(compact) % 4)).decode("utf-8", "replace").strip()
        except (ValueError, binascii.Error):
            return False
        return not is_reference(inner)
    return len(text) >= 4 and not is_filler(text) and text.lower() not in _WORDY_PASSWORDS


VALIDATORS: dict[str, Validator] = {
    function.__name__: function
    for function in (
        *(
            email,
            obfuscated_email,
            ipv4,
            ipv6,
            international_phone,
            local_phone,
            worded_phone,
            trunk_phone,
            card,
            ssn,
            iban,
            mac,
        ),
        *(
            token,
            mixed_token,
            fixed_token,
            written_token,
            random_token,
            uncommon,
            jwt,
            service_account_token,
            basic_credentials,
            url_password,
        ),
        *(named_value, xml_password, provider_key),
        *(
            command_password,
            assigned_password,
            assigned_secret,
            bare_password,
            bare_secret,
            connection_password,
        ),
    )
}
"""By the name that rules use."""

LOCATORS: dict[str, Locator] = {
    function.__name__: function for function in (private_key_body, secret_manifest_values)
}
"""Find the values that belong to a match, by the name that rules use."""
