"""Validators of personal data: checksums, number plans, and the surroundings that tell an address from a version.

Here: e-mail, IP, phone, card, US SSN, IBAN, MAC. Not here: whose they must not be (`privacy.allow`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from automend_assets.privacy.allow import is_documentation_email, is_nobodys_ip, is_stand_in
from automend_assets.privacy.place import Place

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


def email(place: Place) -> bool:
    """Somebody's address: a known top-level domain, no code, no URL's user, no documentation."""
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
    """`jane [at] web [dot] org`, with a known top-level domain."""
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
    # Its tables are read when the first number is in doubt; most texts of code and configuration have none.
    import phonenumbers

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
    """A nearby word vouches for the kind, some number plan for the length."""
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
    # Published samples, and what stands in for a phone number of this layout.
    if digits in ("078051120", "219099999", "123456789", "111223333") or _FICTION.search(digits):
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
    """Country, length and checksum."""
    compact = place.value.replace(" ", "").replace("-", "").upper()
    if place.before(1).isalnum() or place.after(1).isalnum():
        return False
    if _IBAN_LENGTHS.get(compact[:2]) != str(len(compact)) or _IBAN_STAND_IN.fullmatch(compact):
        return False
    return iban_checksum(compact) == 1


_MAC_WORD = re.compile(r"\b(?:mac|ether|ethernet|hwaddr|physical|bssid|bluetooth|device)", re.IGNORECASE)


def mac(place: Place) -> bool:
    """Six octets and no more; digits alone need a word nearby."""
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
