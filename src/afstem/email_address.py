"""Email addresses: which values are accepted, and the form in which they are stored (SPEC 4.2, code 9158).

The truth is `library_form`: what `email_validator.validate_email` makes of a value without looking at the DNS.
`normalise` must agree with it on every value. A conservative grammar decides ordinary addresses as columns; the
rest goes to the library, once for each distinct value, or once for each distinct domain where the part before
the at-sign is ordinary.
"""

import re
import unicodedata
from functools import lru_cache

import email_validator
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from email_validator import EmailNotValidError, ValidatedEmail
from email_validator.rfc_constants import (
    CASE_INSENSITIVE_MAILBOX_NAMES,
    DNS_LABEL_LENGTH_LIMIT,
    DOMAIN_MAX_LENGTH,
    EMAIL_MAX_LENGTH,
)

from afstem.text_bytes import assembled, bytes_of

REASONS = (
    "looks-like-phone-number",
    "no-at-sign",
    "name-and-address",
    "several-at-signs",
    "invisible-character",
    "whitespace",
    "nothing-before-at-sign",
    "nothing-after-at-sign",
    "too-long",
    "no-dot-in-domain",
    "special-use-domain",
    "misplaced-dot",
    "characters-before-at-sign",
    "characters-in-domain",
    "no-such-top-level-domain",
    "syntax",
)
"""Every slug that `reason` can give."""

# These patterns are read by RE2 as well as by Python's re, which differ in their classes (``\s`` is ASCII only in
# RE2) and in what RE2 lacks; so they name their characters. An atom has the characters of RFC 5322 and the letters
# of Latin-1: the library takes these too, and as each is one code point in Unicode's composed form (NFC), the part
# before the at-sign is stored as it is written.
_ATOM = r"[a-zA-Z0-9_!#$%&'*+\-/=?^`{|}~À-ÖØ-öø-ÿ]+"
_LOCAL = rf"{_ATOM}(?:\.{_ATOM})*"
# Two hyphens in a row may be punycode, or a label that is reserved for what looks like it: no label has them here.
_LABEL = r"[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*"
_ADDRESS = rf"\A{_LOCAL}@(?:{_LABEL}\.)+(?:[a-zA-Z0-9]+-)*[a-zA-Z0-9]*[a-zA-Z]\z"
_SPECIAL_USE = rf"(?i)[@.](?:{'|'.join(map(re.escape, email_validator.SPECIAL_USE_DOMAIN_NAMES))})\z"
_ENDING = 2
_NOWHERE = r"[\pZ\p{Cc}\p{Cf}]"
_SHORT = 64
"""An address of at most so many bytes keeps every limit on the length of labels, domains and addresses."""

_ORDINARY_LOCAL = re.compile(_LOCAL)
_PHONE_LIKE = re.compile(r"[+(]?\d[\d\s().+/-]{5,}")
_SPECIAL_USE_ENDINGS = tuple(f".{name}" for name in email_validator.SPECIAL_USE_DOMAIN_NAMES)
_MISPLACED_DOT = re.compile(r"\A\.|\.\.|\.\Z")
_HOST_CHARACTERS = re.compile(r"[a-zA-Z0-9.\-\u0080-\U0010FFFF]+")
_LOCAL_CHARACTERS = re.compile(_ATOM.replace("À-ÖØ-öø-ÿ", ".\u0080-\U0010ffff"))


def normalise(values: pa.StringArray, asked: list[str] | None = None) -> pa.StringArray:
    """The stored form of each value (trimmed before) that is an acceptable address, else null.

    Values that the library had to judge are appended to ``asked``; then nothing from earlier columns is remembered.
    """
    values = values.fill_null("")
    accepted = _bools(pc.match_substring_regex(values, _ADDRESS))
    accepted &= pc.binary_length(values).to_numpy() <= _SHORT
    accepted[accepted] = ~_are_special_use(values.filter(pa.array(accepted)))
    capitals = accepted & _bools(pc.not_equal(values, pc.ascii_lower(values)))
    plain, rest = accepted & ~capitals, ~accepted
    if plain.all():
        return values
    return assembled(
        len(values),
        [
            (plain, values.filter(pa.array(plain))),
            (capitals, _with_lower_domains(values.filter(pa.array(capitals)))),
            (rest, _normalise_odd(values.filter(pa.array(rest)), asked)),
        ],
    )


def _normalise_odd(values: pa.StringArray, asked: list[str] | None) -> pa.StringArray:
    """Values that are not plainly acceptable."""
    doubled = _bools(pc.match_substring(values, "--"))
    follows = _bools(pc.match_substring_regex(values, _ADDRESS))
    refused = ~_bools(pc.match_substring(values, "@")) | (follows & _are_special_use(values))
    # By its defaults the library refuses quoting, a name beside the address and a bracketed IP address. So what is
    # written in ASCII must follow the grammar, and blanks and invisible characters may stand nowhere.
    rest = np.flatnonzero(~follows & ~doubled & ~refused)
    odd = values.take(pa.array(rest))
    refused[rest] = _bools(pc.string_is_ascii(odd)) | _bools(pc.match_substring_regex(odd, _NOWHERE))

    undecided = ~refused
    distinct = values.filter(pa.array(undecided)).dictionary_encode()
    answers = pa.array(_library_forms(distinct.dictionary.to_pylist(), asked), pa.string())
    return assembled(len(values), [(undecided, answers.take(distinct.indices))])


def _are_special_use(addresses: pa.StringArray) -> npt.NDArray[np.bool_]:
    """Which addresses of a domain in ASCII lie in one of the special-use domains, which the library refuses."""
    column = bytes_of(addresses)
    special = column.lengths >= _ENDING
    rows = np.flatnonzero(special)
    # The last two letters tell nearly all that are none.
    endings = (column.last_windows(rows, _ENDING) | 0x20).view(np.uint16).reshape(-1)
    special[rows] = _special_endings()[endings]
    if special.any():
        suspects = addresses.filter(pa.array(special))
        special[special] = _bools(pc.match_substring_regex(suspects, _SPECIAL_USE))
    return special


@lru_cache(maxsize=1)
def _special_endings() -> npt.NDArray[np.bool_]:
    """For each pair of bytes, as it lies in memory, whether the name of a special-use domain ends in it."""
    table = np.zeros(1 << 8 * _ENDING, np.bool_)
    for name in email_validator.SPECIAL_USE_DOMAIN_NAMES:
        table[np.frombuffer(name[-_ENDING:].encode(), np.uint16)] = True
    return table


def library_form(value: str) -> str | None:
    """The library's normalized form of an address, None if it refuses the value: SPEC 4.2 to the letter."""
    validated = _validate(value)
    return None if validated is None else validated.normalized


def reason(value: str) -> str:
    """Why a (trimmed) value is no acceptable address, as one of `REASONS`."""
    before, at_sign, after = value.rpartition("@")
    if not at_sign:
        return "looks-like-phone-number" if _PHONE_LIKE.fullmatch(value) else "no-at-sign"
    if "<" in value and ">" in value:
        return "name-and-address"
    if "@" in before:
        return "several-at-signs"
    # Printable texts, which most are, hold neither.
    if not value.isprintable() and any(unicodedata.category(character) in ("Cc", "Cf") for character in value):
        return "invisible-character"
    if value.split() != [value]:
        return "whitespace"
    if not before:
        return "nothing-before-at-sign"
    if not after:
        return "nothing-after-at-sign"
    if (
        len(value.encode()) > EMAIL_MAX_LENGTH
        or len(after) > DOMAIN_MAX_LENGTH
        or max(map(len, after.split("."))) > DNS_LABEL_LENGTH_LIMIT
    ):
        return "too-long"
    if f".{after}".lower().endswith(_SPECIAL_USE_ENDINGS):
        return "special-use-domain"
    if _MISPLACED_DOT.search(before) or _MISPLACED_DOT.search(after):
        return "misplaced-dot"
    if not _LOCAL_CHARACTERS.fullmatch(before):
        return "characters-before-at-sign"
    if not _HOST_CHARACTERS.fullmatch(after):
        return "characters-in-domain"
    if "." not in after:
        return "no-dot-in-domain"
    if after[-1].isascii() and not after[-1].isalpha():
        return "no-such-top-level-domain"
    return "syntax"


def _bools(array: pa.BooleanArray) -> npt.NDArray[np.bool_]:
    # A copy, because what Arrow hands out may be read-only.
    return np.array(array.to_numpy(zero_copy_only=False), np.bool_)


def _with_lower_domains(addresses: pa.StringArray) -> pa.StringArray:
    """Ordinary addresses as the library normalises them: the domain in lower case, and the names of RFC 2142 too."""
    parts = pc.split_pattern(addresses, "@", max_splits=1)
    local, domain = pc.list_element(parts, 0), pc.ascii_lower(pc.list_element(parts, 1))
    lowered = pc.ascii_lower(local)
    names = pa.array(CASE_INSENSITIVE_MAILBOX_NAMES, pa.string())
    local = pc.if_else(pc.is_in(lowered, names), lowered, local)
    return pc.binary_join_element_wise(local, domain, "@")


def _library_forms(values: list[str], asked: list[str] | None) -> list[str | None]:
    """The library's form of each value; those with an ordinary local part share the answer on their domain."""
    domains: dict[str, ValidatedEmail | None] = {}

    def ask(value: str) -> ValidatedEmail | None:
        if asked is not None:
            asked.append(value)
        return _validate(value)

    forms: list[str | None] = []
    for value in values:
        local, _, domain = value.partition("@")
        # Whether a domain is good does not depend on what stands before it, as long as that is ordinary and none
        # of the names of RFC 2142, which the library puts in lower case.
        if not _ORDINARY_LOCAL.fullmatch(local) or local.lower() in CASE_INSENSITIVE_MAILBOX_NAMES:
            validated = ask(value)
            forms.append(None if validated is None else validated.normalized)
            continue
        if domain not in domains:
            domains[domain] = _validate_domain(domain) if asked is None else ask(f"a@{domain}")
        answer = domains[domain]
        forms.append(None if answer is None else _with_local(local, domain, answer))
    return forms


def _with_local(local: str, domain: str, validated: ValidatedEmail) -> str | None:
    """An address of an ordinary local part and a domain the library takes; None if it is too long (RFC 5321)."""
    longest = max(len(form.encode()) for form in (domain, validated.domain, validated.ascii_domain))
    if len(local.encode()) + 1 + longest > EMAIL_MAX_LENGTH:
        return None
    return f"{local}@{validated.domain}"


@lru_cache(maxsize=10_000)
def _validate_domain(domain: str) -> ValidatedEmail | None:
    """Remembered from one column to the next, for a night has few domains that need the library, again and again."""
    return _validate(f"a@{domain}")


def _validate(value: str) -> ValidatedEmail | None:
    try:
        return email_validator.validate_email(value, check_deliverability=False)
    except EmailNotValidError:
        return None
