"""The rules of SPEC.md read a second time: one record at a time, slow and obvious.

The real program decides a million records in columns. This module decides one record with an ``if``.
The tests hold the two against each other. It therefore shares no line with the package: when the two
disagree, one of them has misread the contract, and SPEC.md says which.

The sections below follow SPEC.md, and name its paragraphs. Texts are kept as they were submitted
until a rule looks at them; ``trimmed`` is the only place where white space is removed.

Run as a program it writes what a workspace must give, one line a record::

    python tests/reference.py WORKSPACE --as-of 2025-11-20 > expected.csv
"""

from __future__ import annotations

import argparse
import base64
import csv
import gzip
import hashlib
import io
import json
import re
import sys
import tomllib
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import phonenumbers
import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from email_validator import EmailNotValidError, validate_email
from phonenumbers import PhoneNumberType

# ------------------------------------------------------------------------------------------------
# The two files that a user may replace (2.5 and 4.4), as they are shipped
# ------------------------------------------------------------------------------------------------

CODELIST = {"1": "mobile", "2": "landline", "3": "email"}

PERMISSIONS = {
    "a-kasse": ["egne borgere"],
    "jobcenter": ["egne borgere", "tidligere egne borgere"],
    "kommune": ["egne borgere"],
    "star": ["alle borgere"],
}

# 4.3: the primary code is the first of these.
ORDER = [1014, 1001, 1010, 4575, 4405, 9153, 9155, 9156, 9157, 9158]

NEEDED_COLUMNS = ["personnummer", "kontaktdatatype", "kontaktdata"]
OPTIONAL_COLUMNS = ["registreret", "reference"]
COLUMNS = NEEDED_COLUMNS + OPTIONAL_COLUMNS


# ------------------------------------------------------------------------------------------------
# The nouns
# ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """One record as submitted. ``fault`` says why it could not be read; the texts are then None."""

    record_no: int
    personnummer: str | None = None
    kontaktdatatype: str | None = None
    kontaktdata: str | None = None
    registreret: str | None = None
    reference: str | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Refusal:
    """A whole extract is not read (4.1). ``why`` is for the person who debugs, never compared."""

    code: int
    why: str


@dataclass(frozen=True)
class Actor:
    """One actor of actors.toml; ``source`` is a folder."""

    id: str
    type: str
    source: Path = Path()
    encoding: str = "utf-8"
    priority: int = 100
    signs: bool = False
    users: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    """Name -> public keys, scopes."""


@dataclass(frozen=True)
class Period:
    """A time in days. The last day is included; no last day means that it is still open (2.6)."""

    valid_from: date
    valid_to: date | None

    def includes(self, day: date) -> bool:
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)

    def ended_before(self, day: date) -> bool:
        return self.valid_to is not None and self.valid_to < day


@dataclass
class World:
    """All that a verdict may depend on beside the record and its actor.

    ``citizens`` maps a CPR number to its status, ``relations`` maps (CPR number, actor id, kind) to periods,
    ``email_subscriptions`` maps a CPR number to periods. Nothing here is read from a clock.
    """

    as_of: date
    started_at: datetime
    timezone: str = "Europe/Copenhagen"
    citizens: dict[str, str] = field(default_factory=dict)
    relations: dict[tuple[str, str, str], list[Period]] = field(default_factory=dict)
    email_subscriptions: dict[str, list[Period]] = field(default_factory=dict)
    codelist: dict[str, str] = field(default_factory=lambda: CODELIST)
    permissions: dict[str, list[str]] = field(default_factory=lambda: PERMISSIONS)


def trimmed(text: str | None) -> str:
    """The text without Unicode white space at both ends; nothing at all counts as blank (2.3)."""
    return "" if text is None else text.strip()


# ------------------------------------------------------------------------------------------------
# 2.3 Extracts
# ------------------------------------------------------------------------------------------------

ENDINGS = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet")


def is_extract_name(name: str) -> bool:
    return name.endswith(ENDINGS) and not name.startswith(".")


def read_extract(path: Path, encoding: str = "utf-8") -> list[Record] | Refusal:
    """All records of one file, read as what its name says, or the reason why it is refused (1014).

    ``encoding`` is the actor's, and is for CSV only.
    """
    if path.name.endswith(".parquet"):
        return read_parquet(path)
    content = path.read_bytes()
    if path.name.endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            return Refusal(1014, f"not a whole gzip file: {error}")
    if content == b"":
        return Refusal(1014, "an empty file")
    if path.name.removesuffix(".gz").endswith(".csv"):
        return read_csv(content, encoding)
    return read_json_lines(content)


# --- lines --------------------------------------------------------------------------------------


def physical_lines(content: bytes) -> list[bytes]:
    """Lines end at LF, and one CR before it belongs to the ending. Any other CR is part of the line."""
    *ended, last = content.split(b"\n")
    return [line.removesuffix(b"\r") for line in ended] + [last]


def without_utf8_mark(content: bytes) -> bytes:
    return content.removeprefix(b"\xef\xbb\xbf")


def decoded(line: bytes, encoding: str) -> str | None:
    """The line as text, or None where its bytes mean nothing in the encoding. Never guessed (TRAPS.md)."""
    try:
        return line.decode({"utf-8": "utf-8", "windows-1252": "cp1252", "iso-8859-1": "latin-1"}[encoding])
    except UnicodeDecodeError:
        return None


# --- CSV ----------------------------------------------------------------------------------------


def read_csv(content: bytes, encoding: str) -> list[Record] | Refusal:
    if encoding == "utf-8":
        content = without_utf8_mark(content)
    header_line, *lines = physical_lines(content)

    header_text = decoded(header_line, encoding)
    if header_text is None:
        return Refusal(1014, "the header is not in the encoding")
    separator = ";" if ";" in header_text else ","
    header = split_line(header_text, separator)
    if header is None:
        return Refusal(1014, "the header is wrongly quoted")
    receipt = [name.strip() for name in header[-7:]] == RECEIPT_COLUMNS
    if receipt:
        header = [cell_of_receipt(name) for name in header]
    names = [name.strip().casefold() for name in header]
    trouble = trouble_with_columns(names)
    if trouble:
        return trouble

    records = []
    for record_no, line in enumerate(lines, start=1):
        text = decoded(line, encoding)
        if text is None:
            records.append(Record(record_no, fault="encoding"))
            continue
        if text.strip() == "":
            continue  # a blank line is no record, but it has a number
        fields = split_line(text, separator)
        if fields is None or len(fields) != len(names):
            records.append(Record(record_no, fault="columns"))
            continue
        if receipt:
            fields = [cell_of_receipt(field) for field in fields]
        # A column that the extract leaves out is None; an unknown column is ignored.
        named = {name: value for name, value in zip(names, fields, strict=True) if name in COLUMNS}
        records.append(Record(record_no, **named))
    return records


# README, "A receipt in a spreadsheet": in a receipt an apostrophe stands before what begins like a formula.
RECEIPT_COLUMNS = ["record_no", "codes", "forklaring", "ansvarlig", "forslag", "linje", "fil"]
CELLS = re.compile("[,;\t\r]")


def cell_of_receipt(text: str) -> str:
    """A cell of a receipt as it was submitted: without the apostrophes that the receipt put in."""
    if text.startswith("'") and CELLS.match(text.lstrip(PASSED_OVER)) and text.lstrip(PASSED_OVER)[0] in "\t\r":
        text = text[1:]
    parts = CELLS.split(text)
    separators = [*CELLS.findall(text), ""]
    plain = [part[1:] if part.startswith("'") and begins_like_a_formula(part) else part for part in parts]
    return "".join(part + separator for part, separator in zip(plain, separators, strict=True))


def begins_like_a_formula(part: str) -> bool:
    """Whether a spreadsheet computes it: a sign, but a plus or minus only before more than digits and blanks."""
    begun = part.lstrip(PASSED_OVER)
    if begun.startswith(("=", "@", "\uff1d", "\uff20")):
        return True
    return begun.startswith(("+", "-", "\uff0b", "\uff0d")) and any(
        sign not in "0123456789" and unicodedata.category(sign)[0] != "Z" for sign in begun[1:]
    )


# Apostrophes, quotation marks, blanks, and what cannot be seen; but not what CELLS are divided by.
PASSED_OVER = "'\"" + "".join(
    chr(code)
    for code in range(0x110000)
    if unicodedata.category(chr(code)) in ("Zs", "Zl", "Zp", "Cc", "Cf") and chr(code) not in "\t\r\n"
)


def split_line(line: str, separator: str) -> list[str] | None:
    """The fields of one line by RFC 4180, strictly; None where the quoting is wrong.

    A field is either without any quotation mark, or begins with one at once and ends with one right before
    the separator or the end of the line; a quotation mark inside is written twice.
    """
    fields = []
    position = 0
    while True:
        if line.startswith('"', position):
            text = ""
            position += 1
            while True:
                closing = line.find('"', position)
                if closing == -1:
                    return None  # never closed
                text += line[position:closing]
                position = closing + 1
                if not line.startswith('"', position):
                    break
                text += '"'  # two of them: one that belongs to the text
                position += 1
        else:
            end = line.find(separator, position)
            end = len(line) if end == -1 else end
            text = line[position:end]
            if '"' in text:
                return None
            position = end
        fields.append(text)
        if position == len(line):
            return fields
        if not line.startswith(separator, position):
            return None  # something between the closing mark and the separator
        position += 1


def trouble_with_columns(names: list[str]) -> Refusal | None:
    """``names`` are trimmed and in lower case. Only the columns that SPEC names matter."""
    for name in NEEDED_COLUMNS:
        if name not in names:
            return Refusal(1014, f"no column {name}")
    for name in COLUMNS:
        if names.count(name) > 1:
            return Refusal(1014, f"column {name} twice")
    return None


# --- JSON Lines ---------------------------------------------------------------------------------


class JsonObject(dict[str, Any]):
    """A JSON object that remembers the keys it was given twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        keys = [key for key, _ in pairs]
        self.twice = {key for key in keys if keys.count(key) > 1}


def read_json_lines(content: bytes) -> list[Record]:
    records: list[Record] = []
    for line in physical_lines(without_utf8_mark(content)):
        for parts in records_of_message(line):
            records.append(Record(record_no=len(records) + 1, **parts))
    return records


def records_of_message(line: bytes) -> list[dict[str, str | None]]:
    """The records of one line: what to give to ``Record`` for each. An unreadable line counts as one."""
    text = decoded(line, "utf-8")
    if text is None:
        return [{"fault": "encoding"}]
    if text.strip() == "":
        return []  # blank: no record, and no number
    try:
        message = json.loads(text, object_pairs_hook=JsonObject, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        return [{"fault": "json"}]

    if not isinstance(message, JsonObject):
        return [{"fault": "message"}]
    elements = message.get("kontaktinformationer")
    if not isinstance(elements, list):
        return [{"fault": "message"}]

    fault = fault_of_message(message)
    if fault:
        return [{"fault": fault}] * max(1, len(elements))
    return [record_of_element(message, element) for element in elements]


def refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def fault_of_message(message: JsonObject) -> str | None:
    if message.twice & {"personnummer", "registreret", "reference", "kontaktinformationer"}:
        return "message"
    for key in ["personnummer", "registreret", "reference"]:
        value = message.get(key)
        if value is None:
            continue
        if not isinstance(value, str):
            return "message"
        if has_lone_surrogate(value):
            return "encoding"
    return None


def record_of_element(message: JsonObject, element: object) -> dict[str, str | None]:
    if not isinstance(element, JsonObject) or element.twice & {"kontaktdatatype", "kontaktdata"}:
        return {"fault": "message"}
    contact_code: object = element.get("kontaktdatatype")
    if isinstance(contact_code, int) and not isinstance(contact_code, bool):
        contact_code = str(contact_code)
    value: object = element.get("kontaktdata")
    if not isinstance(contact_code, str | None) or not isinstance(value, str | None):
        return {"fault": "message"}
    if has_lone_surrogate(contact_code or "") or has_lone_surrogate(value or ""):
        return {"fault": "encoding"}
    return {
        "personnummer": message.get("personnummer"),
        "registreret": message.get("registreret"),
        "reference": message.get("reference"),
        "kontaktdatatype": contact_code,
        "kontaktdata": value,
    }


def has_lone_surrogate(text: str) -> bool:
    """JSON can write half of a character (``\\ud800``), which no file and no database can hold."""
    return any("\ud800" <= character <= "\udfff" for character in text)


# --- Parquet ------------------------------------------------------------------------------------


def read_parquet(path: Path) -> list[Record] | Refusal:
    content = path.read_bytes()
    try:
        with pq.ParquetFile(io.BytesIO(content), page_checksum_verification=True) as file:
            table = file.read()
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        return Refusal(1014, f"not a readable Parquet file: {error}")

    names = [name.strip().casefold() for name in table.column_names]
    trouble = trouble_with_columns(names)
    if trouble:
        return trouble
    cells: dict[str, list[str | bytes | None]] = {}
    for name in COLUMNS:
        if name not in names:
            cells[name] = [None] * table.num_rows
            continue
        texts = texts_of_column(name, table.column(names.index(name)))
        if texts is None:
            return Refusal(1014, f"column {name} has a type that is not allowed")
        cells[name] = texts

    records = []
    for row in range(table.num_rows):
        values: dict[str, str | None] = {}
        for name in COLUMNS:
            cell = cells[name][row]
            if isinstance(cell, bytes):
                text = decoded(cell, "utf-8")
                if text is None:
                    values = {"fault": "encoding"}
                    break
                values[name] = text
            else:
                values[name] = cell
        records.append(Record(row + 1, **values))
    return records


def texts_of_column(name: str, column: pa.ChunkedArray) -> list[str | bytes | None] | None:
    """The column's cells; texts as bytes, since nothing has yet looked whether they are UTF-8.

    None if the column has a type that SPEC 2.3 does not allow for it.
    """
    kind = column.type
    if pa.types.is_null(kind):
        return [None] * len(column)
    if is_text(kind) or (pa.types.is_dictionary(kind) and is_text(kind.value_type)):
        if pa.types.is_dictionary(kind):
            column = column.cast(kind.value_type)
        cells: list[str | bytes | None] = column.cast(pa.large_binary()).to_pylist()
        return cells
    if name == "kontaktdatatype" and pa.types.is_integer(kind):
        return [None if number is None else str(number) for number in column.to_pylist()]
    if name == "registreret" and (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return [None if number is None else written_time(number, kind) for number in ticks(column)]
    return None


def is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.string_view())


def ticks(column: pa.ChunkedArray) -> list[int | None]:
    """A date or timestamp as the integer it is stored as (days or fractions of a second since 1970)."""
    integer = pa.int32() if pa.types.is_date32(column.type) else pa.int64()
    numbers: list[int | None] = column.cast(integer).to_pylist()
    return numbers


def written_time(number: int, kind: pa.DataType) -> str:
    """A date or timestamp as ISO 8601, so that one rule judges it, wherever it came from."""
    if pa.types.is_date32(kind):
        microseconds = number * 86_400_000_000
    elif pa.types.is_date64(kind):
        microseconds = number * 1000
    else:
        per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[kind.unit]
        microseconds = number * 1_000_000 // per_second
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    except OverflowError:
        return "not within the years 1 to 9999"  # which is not a time: 1014
    if pa.types.is_date(kind):
        return moment.date().isoformat()
    return moment.isoformat() if kind.tz is not None else moment.replace(tzinfo=None).isoformat()


# ------------------------------------------------------------------------------------------------
# 4.2 About one record
# ------------------------------------------------------------------------------------------------


def judge(record: Record, actor: Actor, world: World) -> list[int]:
    """The findings of one record, in the order of 4.3; no finding means that it is accepted."""
    if is_unreadable(record, world):
        return [1014]  # 4.3: 1014 stands alone

    found = set()
    contact_type = contact_type_of(record, world)
    value = trimmed(record.kontaktdata)
    removes = value == ""

    # Who is it about?
    number = cpr_number(record.personnummer)
    if number is None:
        found.add(1001)  # 4.3: and nothing that needs the citizen is judged
    else:
        known = number in world.citizens and number != UNKNOWN_CITIZEN
        allowed = may_write(actor, number, world)
        if not known:
            found.add(1010)
        if not allowed:
            found.add(4575)
        if known and allowed:  # 4.3: nobody learns about a citizen they may not write
            if world.citizens[number] == "90":
                found.add(4405)
            if contact_type == "email" and removes and has_email_subscription(number, world):
                found.add(9155)

    # What does it say? 4.3: judged always.
    if contact_type is None:
        found.add(9153)
    if contact_type == "mobile" and not removes and mobile_number(value) is None:
        found.add(9156)
    if contact_type == "landline" and not removes and landline_number(value) is None:
        found.add(9157)
    if contact_type == "email" and not removes and email_address(value) is None:
        found.add(9158)

    return [code for code in ORDER if code in found]


def contact_type_of(record: Record, world: World) -> str | None:
    """mobile, landline or email; None if the identifier is not in the codelist (2.5)."""
    return world.codelist.get(trimmed(record.kontaktdatatype))


def stored_value(record: Record, world: World) -> str | None:
    """What an accepted record puts into the store; None removes (4.5)."""
    value = trimmed(record.kontaktdata)
    if value == "":
        return None
    read = {"mobile": mobile_number, "landline": landline_number, "email": email_address}
    contact_type = contact_type_of(record, world)
    assert contact_type is not None, "a record outside the codelist is never accepted"
    return read[contact_type](value)


# --- 1014 ---------------------------------------------------------------------------------------


def is_unreadable(record: Record, world: World) -> bool:
    if record.fault is not None:
        return True
    if trimmed(record.personnummer) == "" or trimmed(record.kontaktdatatype) == "":
        return True
    if len(trimmed(record.reference)) > 64:
        return True
    if trimmed(record.registreret) != "":
        registered = registered_at(record, world)
        return registered is None or registered > world.started_at + timedelta(minutes=5)
    return False


# The ways in which Python 3.11 lets a date be written, any one character, and 24 o'clock, which it refuses.
TWENTY_FOUR = re.compile(
    r"(\d{4}-\d\d-\d\d|\d{8}|\d{4}-W\d\d-\d|\d{4}-W\d\d(?!-)|\d{4}W\d{3}|\d{4}W\d\d).24", re.ASCII | re.DOTALL
)


def registered_at(record: Record, world: World) -> datetime | None:
    """The time of ``registreret`` in UTC, or None if it is not a time (2.3). Not for a blank one."""
    text = trimmed(record.registreret)
    if TWENTY_FOUR.match(text):
        return None  # later Pythons take it for the next day's midnight; the contract is 3.11's
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(world.timezone), fold=0)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


# --- 1001 and 1010 ------------------------------------------------------------------------------

UNKNOWN_CITIZEN = "0000000000"


def cpr_number(text: str | None) -> str | None:
    """The ten digits, or None if the text is no CPR number (1001). Modulus 11 is never a reason."""
    digits = trimmed(text)
    if len(digits) == 11 and digits[6] == "-":  # position 7
        digits = digits[:6] + digits[7:]
    if not re.fullmatch("[0-9]{10}", digits):
        return None
    if digits == UNKNOWN_CITIZEN:
        return digits  # the official number for "unknown": 1010, not 1001
    day, month, year = int(digits[0:2]), int(digits[2:4]), full_year(digits)
    try:
        date(year, month, day)
    except ValueError:
        return None
    return digits


def full_year(digits: str) -> int:
    """The century rule of DOMAIN.md 6: by the two digits of the year and digit 7."""
    year, seventh = int(digits[4:6]), int(digits[6])
    if seventh <= 3:
        return 1900 + year
    if seventh in (4, 9):
        return 2000 + year if year <= 36 else 1900 + year
    return 2000 + year if year <= 57 else 1800 + year


# --- 4575: kinds of access (4.4) ----------------------------------------------------------------


def may_write(actor: Actor, number: str, world: World) -> bool:
    """Whether one of the kinds of access of the actor's organisation type holds on the as-of date."""
    return any(access_holds(kind, actor, number, world) for kind in world.permissions.get(actor.type, []))


def access_holds(kind: str, actor: Actor, number: str, world: World) -> bool:
    def periods(relation: str) -> list[Period]:
        return world.relations.get((number, actor.id, relation), [])

    match kind:
        case "alle borgere" | "anden aktør - alle borgere" | "system - alle borgere":
            return True
        case "egne borgere":
            return any(period.includes(world.as_of) for period in periods("own"))
        case "tidligere egne borgere":
            return any(period.ended_before(world.as_of) for period in periods("own"))
        case "gæsteadgang":
            return any(period.includes(world.as_of) for period in periods("guest"))
        case "anden aktør - egne borgere":
            return any(period.includes(world.as_of) for period in periods("external-own"))
        case "anden aktør - gæsteadgang":
            return any(period.includes(world.as_of) for period in periods("external-guest"))
    raise ValueError(f"permissions.toml: no such kind of access: {kind!r}")


# --- 9155 ---------------------------------------------------------------------------------------


def has_email_subscription(number: str, world: World) -> bool:
    return any(period.includes(world.as_of) for period in world.email_subscriptions.get(number, []))


# --- 9156 and 9157: phone numbers (4.5) ---------------------------------------------------------

MOBILE_KINDS = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}
LANDLINE_KINDS = {
    PhoneNumberType.FIXED_LINE,
    PhoneNumberType.FIXED_LINE_OR_MOBILE,
    PhoneNumberType.MOBILE,
    PhoneNumberType.VOIP,
    PhoneNumberType.PERSONAL_NUMBER,
    PhoneNumberType.UAN,
}


def mobile_number(value: str) -> str | None:
    return phone_number(value, MOBILE_KINDS)


def landline_number(value: str) -> str | None:
    return phone_number(value, LANDLINE_KINDS)


def phone_number(value: str, kinds: set[int]) -> str | None:
    """The number as E.164, or None if it is not valid as one of the kinds. ``value`` is trimmed."""
    if any(character.isalpha() or unicodedata.category(character) == "Cc" for character in value):
        return None
    try:
        number = phonenumbers.parse(value, "DK")
    except phonenumbers.NumberParseException:
        return None
    if number.extension is not None or not phonenumbers.is_valid_number(number):
        return None
    if phonenumbers.number_type(number) not in kinds:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


# --- 9158: email addresses ----------------------------------------------------------------------


def email_address(value: str) -> str | None:
    """The address as it is stored, or None if it is not valid. ``value`` is trimmed, not blank."""
    try:
        return validate_email(value, check_deliverability=False).normalized
    except EmailNotValidError:
        return None


# ------------------------------------------------------------------------------------------------
# 4.6 Notices: about accepted records alone
# ------------------------------------------------------------------------------------------------

# N2: one slip from one of these is a misspelling, unless it is a provider in its own right.
# ruff: noqa: SIM905 - a line of words reads better than a column of quoted ones
COMMON_DOMAINS = (
    "gmail.com hotmail.com hotmail.dk icloud.com jubii.dk mail.tele.dk outlook.com outlook.dk stofanet.dk webspeed.dk "
    "yahoo.com yahoo.dk youmail.dk"
).split()
OTHER_PROVIDERS = (
    "fmail.com hotmail.de hotmail.fr hotmail.it hotmail.se hotmail.no email.com mail.com outlook.de outlook.fr "
    "outlook.it outlook.es yahoo.de yahoo.fr yahoo.it yahoo.es yahoo.se yahoo.no ymail.com"
).split()

MANY_CITIZENS = 10  # N3: more than so many


def notices(record: Record, world: World) -> list[str]:
    """The notices that an accepted record gets for itself; N3 needs the others (``shared_values``)."""
    value = stored_value(record, world)
    contact_type = contact_type_of(record, world)
    number = cpr_number(record.personnummer)
    assert number is not None, "an accepted record has a number"
    found = []
    if contact_type == "landline" and value is not None:
        kind = phonenumbers.number_type(phonenumbers.parse(value))
        if kind == PhoneNumberType.MOBILE:  # and not FIXED_LINE_OR_MOBILE
            found.append("N1")
    if contact_type == "email" and value is not None and meant_domain(value.rpartition("@")[2]):
        found.append("N2")
    weighed = zip((4, 3, 2, 7, 6, 5, 4, 3, 2, 1), number, strict=True)
    if sum(weight * int(digit) for weight, digit in weighed) % 11 != 0:
        found.append("N4")
    if contact_type == "email" and value is not None and holds_number(value):
        found.append("N5")
    return found


def meant_domain(domain: str) -> str | None:
    if domain in COMMON_DOMAINS or domain in OTHER_PROVIDERS:
        return None
    near = [common for common in COMMON_DOMAINS if one_slip(domain, common)]
    return near[0] if len(near) == 1 else None


def one_slip(text: str, other: str) -> bool:
    """Whether one character is missing, too much or another one, or two neighbours have changed places."""
    if text == other:
        return False

    def without(word: str, place: int) -> str:
        return word[:place] + word[place + 1 :]

    def swapped(word: str, place: int) -> str:
        return word[:place] + word[place + 1 : place + 2] + word[place] + word[place + 2 :]

    places = range(max(len(text), len(other)))
    return (
        any(without(other, place) == text for place in places if place < len(other))
        or any(without(text, place) == other for place in places if place < len(text))
        or (len(text) == len(other) and any(without(text, place) == without(other, place) for place in places))
        or any(swapped(text, place) == other for place in range(len(text)))
    )


def holds_number(text: str) -> bool:
    """Ten digits that stand alone, in pairs with at most three of ``-_. `` between, the first four a day and month.

    A replacement number, whose day is raised by 60, looks like a CPR number, too.
    """
    for place in range(len(text)):
        if place > 0 and text[place - 1].isdigit():
            continue
        digits, rest = "", text[place:]
        while len(digits) < 10 and len(rest) >= 2 and rest[:2].isdecimal():
            digits, rest = digits + "".join(str(unicodedata.digit(digit)) for digit in rest[:2]), rest[2:]
            if len(digits) < 10:
                after = rest.lstrip("-_. ")
                rest = after if len(rest) - len(after) <= 3 else ""
        if len(digits) == 10 and not rest[:1].isdecimal():
            day, month = int(digits[:2]), int(digits[2:4])
            if (1 <= day <= 31 or 61 <= day <= 91) and 1 <= month <= 12:
                return True
    return False


def shared_values(holders: Iterable[tuple[str, str]]) -> dict[str, int]:
    """N3: values that many citizens have, and how many, from pairs of value and CPR number."""
    citizens: dict[str, set[str]] = {}
    for value, number in holders:
        citizens.setdefault(value, set()).add(number)
    return {value: len(numbers) for value, numbers in citizens.items() if len(numbers) > MANY_CITIZENS}


# ------------------------------------------------------------------------------------------------
# 5 Reconciliation
# ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """A value (or None, its removal) that somebody claims for one citizen and contact type.

    Both an accepted record and a row of the store are claims; 5.3 says which of two is the greater.
    ``loaded`` marks a first filling (contacts of 2.6), which is older than any extract.
    """

    value: str | None
    registered_at: datetime
    created_at: datetime
    actor: str
    priority: int = 100
    record_no: int = 0
    sha256: str = ""
    loaded: bool = False

    def strength(self) -> tuple[bool, datetime, datetime, int, str, int, str]:
        """Python compares this from left to right; the greatest wins."""
        return (
            not self.loaded,
            self.registered_at,
            self.created_at,
            -self.priority,
            self.actor,
            self.record_no,
            self.sha256,
        )


# One citizen and one contact type: ("0207901234", "email").
Place = tuple[str, str]


def reconcile(claims: list[Claim], stored: Claim | None) -> tuple[Claim, list[str]]:
    """For one place: the claim that the store holds afterwards, and the outcome of each claim (5.1).

    ``claims`` are those of this run, at least one; ``stored`` is None where the store has no row.
    """
    before = None if stored is None else stored.value  # nothing stored agrees with a removal
    winner = max([*claims, *([] if stored is None else [stored])], key=Claim.strength)
    outcomes = []
    for claim in claims:
        if claim.value != winner.value:
            outcomes.append("superseded")
        elif claim is winner and winner.value != before:
            outcomes.append("applied")
        else:
            outcomes.append("unchanged")
    return winner, outcomes


# ------------------------------------------------------------------------------------------------
# 5.4 Hold
# ------------------------------------------------------------------------------------------------

HOLD = {
    "min_records": 100,
    "removal_share": Fraction("0.10"),
    "rejected_share": Fraction("0.50"),
    "volume_drop": Fraction("0.50"),
}


@dataclass(frozen=True)
class Applied:
    """An extract that was applied: how large it is, when it was first pulled, and by which run, counted from 1."""

    records: int
    created_at: datetime
    run: int


def must_be_held(judged: list[tuple[Record, list[int]]], last: Applied | None, hold: dict[str, Any]) -> bool:
    """Whether an extract waits for its release; ``judged`` are its records, each with its codes."""
    records = len(judged)
    if records < hold["min_records"]:
        return False
    removals = [record for record, codes in judged if 1014 not in codes and trimmed(record.kontaktdata) == ""]
    rejected = [record for record, codes in judged if codes]
    return (
        len(removals) > hold["removal_share"] * records
        or len(rejected) > hold["rejected_share"] * records
        or (last is not None and records < (1 - hold["volume_drop"]) * last.records)
    )


def last_applied(applied: dict[tuple[str, str], Applied], actor: str, before_run: int) -> Applied | None:
    """The last of the actor's extracts that earlier runs have applied; of several that came at once, the largest."""
    earlier = [extract for (whose, _), extract in applied.items() if whose == actor and extract.run < before_run]
    return max(earlier, key=lambda extract: (extract.run, extract.created_at, extract.records), default=None)


# ------------------------------------------------------------------------------------------------
# 2.1, 2.2, 2.6: configuration and reference data
# ------------------------------------------------------------------------------------------------


def read_actors(path: Path, workspace: Path) -> list[Actor]:
    return [
        Actor(
            id=entry["id"],
            type=entry["type"],
            source=folder_of_source(entry["source"], workspace),
            encoding=entry.get("encoding", "utf-8"),
            priority=entry.get("priority", 100),
            signs=entry.get("login") == "manifest",
            users={user["name"]: (keys_of(user), user.get("scopes", [])) for user in entry.get("user", [])},
        )
        for entry in tomllib.loads(path.read_text("utf-8"))["actor"]
    ]


def keys_of(user: dict[str, Any]) -> list[str]:
    keys = user["public_key"]
    return [keys] if isinstance(keys, str) else keys


def folder_of_source(source: str, workspace: Path) -> Path:
    """Local folders only: a path, from the workspace if relative, or a file: URL."""
    if source.startswith("file:"):
        return Path(unquote(urlsplit(source).path))
    return workspace / source


def read_reference_table(folder: Path, name: str) -> list[dict[str, Any]]:
    """The rows of one table of 2.6, from .parquet or .csv; none if there is no such file."""
    parquet, text = folder / f"{name}.parquet", folder / f"{name}.csv"
    if parquet.exists():
        with pq.ParquetFile(parquet) as file:
            rows: list[dict[str, Any]] = file.read().to_pylist()
        return rows
    if text.exists():
        with text.open(encoding="utf-8-sig", newline="") as lines:
            return [
                {column.strip().casefold(): value.strip() for column, value in row.items()}
                for row in csv.DictReader(lines, delimiter=";", strict=True)
            ]
    return []


def day_of(cell: date | str | None) -> date | None:
    """A date of reference data, which is a text in CSV, and may be a date in Parquet."""
    if cell is None or cell == "":
        return None
    if isinstance(cell, datetime):
        return cell.date()
    return cell if isinstance(cell, date) else date.fromisoformat(cell.strip())


def period_of(row: dict[str, Any]) -> Period:
    begin = day_of(row["valid_from"])
    if begin is None:
        raise ValueError("reference data: valid_from is empty")
    return Period(begin, day_of(row["valid_to"]))


def number_of(row: dict[str, Any]) -> str:
    """The CPR number of a row of reference data as ten digits, if it is one."""
    return cpr_number(row["personnummer"]) or trimmed(row["personnummer"])


def read_world(folder: Path, world: World) -> World:
    """The world with the citizens, relations and subscriptions of a reference folder put into it."""
    for row in read_reference_table(folder, "citizens"):
        world.citizens[number_of(row)] = str(row["status"])
    for row in read_reference_table(folder, "relations"):
        world.relations.setdefault((number_of(row), row["actor"], row["kind"]), []).append(period_of(row))
    for row in read_reference_table(folder, "subscriptions"):
        if row["channel"] == "email":
            world.email_subscriptions.setdefault(number_of(row), []).append(period_of(row))
    return world


def read_first_filling(folder: Path, world: World) -> dict[Place, Claim]:
    """The rows of ``contacts`` (2.6) as claims that lose against every extract."""
    filling = {}
    for row in read_reference_table(folder, "contacts"):
        registered = row["registreret"]
        record = Record(
            record_no=0,
            personnummer=row["personnummer"],
            kontaktdatatype=str(row["kontaktdatatype"]),
            kontaktdata=row["kontaktdata"],
            registreret=registered.isoformat() if isinstance(registered, date) else registered,
        )
        contact_type = contact_type_of(record, world)
        value = None if contact_type is None else stored_value(record, world)
        moment = registered_at(record, world)
        if contact_type is None or moment is None or (value is None and trimmed(record.kontaktdata) != ""):
            raise ValueError("reference data: contacts has a row that is not valid")
        filling[number_of(row), contact_type] = Claim(
            value, registered_at=moment, created_at=moment, actor=row["actor"], loaded=True
        )
    return filling


# ------------------------------------------------------------------------------------------------
# 3 What a run does
# ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExtractVerdict:
    """``state`` is applied, held, refused or already-applied; ``code`` only where it was refused."""

    actor: str
    file: str
    sha256: str
    state: str
    code: int | None = None

    @property
    def extract_id(self) -> str:
        return f"{self.actor}-{self.sha256[:12]}"


@dataclass(frozen=True)
class RecordVerdict:
    """What became of one record. ``codes`` are all its findings, the primary one first."""

    actor: str
    file: str
    sha256: str
    record_no: int
    contact_type: str | None
    outcome: str
    codes: list[int]
    notices: tuple[str, ...] = ()

    @property
    def primary_code(self) -> int | None:
        return self.codes[0] if self.codes else None


@dataclass(frozen=True)
class Change:
    """One row of contact_history: a value that changed."""

    personnummer: str
    contact_type: str
    before: str | None
    after: str | None
    actor: str
    sha256: str
    record_no: int


@dataclass
class Stored:
    """What one run leaves for the next: the claims that stand, and the extracts that were applied.

    ``held`` has the run, counted from 1, that held an extract first; ``runs`` is how many there have been.
    """

    contacts: dict[Place, Claim] = field(default_factory=dict)
    applied: dict[tuple[str, str], Applied] = field(default_factory=dict)
    held: dict[tuple[str, str], int] = field(default_factory=dict)
    runs: int = 0


@dataclass
class Expected:
    """All that one run over a workspace must give."""

    extracts: list[ExtractVerdict] = field(default_factory=list)
    records: list[RecordVerdict] = field(default_factory=list)
    history: list[Change] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)
    stored: Stored = field(default_factory=Stored)
    first_pulled: dict[tuple[str, str], datetime] = field(default_factory=dict)

    @property
    def store(self) -> dict[Place, tuple[str | None, datetime, str]]:
        """The contacts table: (CPR number, contact type) to (value, registered_at, actor)."""
        contacts = self.stored.contacts
        return {place: (claim.value, claim.registered_at, claim.actor) for place, claim in contacts.items()}


def run(
    workspace: Path,
    as_of: date,
    started_at: datetime,
    stored: Stored | None = None,
    first_pulled: dict[tuple[str, str], datetime] | None = None,
    codelist: dict[str, str] | None = None,
    permissions: dict[str, list[str]] | None = None,
    reference: str = "reference",
    release: Mapping[str, Path] | None = None,
) -> Expected:
    """What a run over a workspace must give, in its verdicts and in the store.

    ``workspace`` holds afstem.toml, actors.toml, the sources and the folder ``reference``. ``stored`` and
    ``first_pulled`` are those of an earlier ``Expected``; without ``stored``, the first filling of the
    reference folder is what the store holds. ``first_pulled`` is by (actor id, SHA-256) and says when an
    extract was created. ``started_at`` has a time zone. Actors that cannot be reached are ``unavailable``.
    ``release`` are ids of held extracts that are let through, with the file of each as an earlier run has pulled it.
    """
    config = tomllib.loads((workspace / "afstem.toml").read_text("utf-8"), parse_float=Fraction)
    paths = config.get("paths", {})
    if codelist is None:
        codelist = read_setting(workspace, paths.get("codelist"), "codes", CODELIST)
    if permissions is None:
        permissions = read_setting(workspace, paths.get("permissions"), "allowed", PERMISSIONS)
    world = read_world(
        workspace / reference,
        World(
            as_of=as_of,
            started_at=started_at,
            timezone=config.get("run", {}).get("timezone", "Europe/Copenhagen"),
            codelist=codelist,
            permissions=permissions,
        ),
    )
    if stored is None:
        stored = Stored(read_first_filling(workspace / reference, world))
    expected = Expected(
        stored=Stored(dict(stored.contacts), dict(stored.applied), dict(stored.held), stored.runs + 1),
        first_pulled=dict(first_pulled or {}),
    )

    hold = HOLD | config.get("hold", {})
    accepted: dict[Place, list[tuple[Claim, RecordVerdict]]] = {}
    waiting: dict[Place, list[tuple[Claim, RecordVerdict]]] = {}  # of held extracts
    for actor in read_actors(workspace / paths.get("actors", "actors.toml"), workspace):
        if not actor.source.is_dir():
            expected.unavailable.append(actor.id)
            continue
        seen: set[str] = set()
        held: set[str] = set()
        for path in extracts_of(actor) + taken_away(actor, release or {}):
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            created_at = expected.first_pulled.setdefault((actor.id, sha256), started_at)

            # 5.5: known by (actor, SHA-256)
            if (actor.id, sha256) in stored.applied or sha256 in seen:
                expected.extracts.append(ExtractVerdict(actor.id, path.name, sha256, "already-applied"))
                continue
            if sha256 in held:
                expected.extracts.append(ExtractVerdict(actor.id, path.name, sha256, "held"))  # a copy of that one
                continue

            # 4.1: about the whole extract
            records = read_or_refuse(path, actor, world, created_at)
            if actor.signs and not isinstance(records, Refusal):
                created_at = datetime.fromtimestamp(claims_beside(path)["iat"], UTC)
            if isinstance(records, Refusal):
                expected.extracts.append(ExtractVerdict(actor.id, path.name, sha256, "refused", records.code))
                continue

            # 4.2: about each record
            judged = [(record, judge(record, actor, world)) for record in records]

            # 5.4: compared with what had been applied before this run, or before the one that held it first
            this_run = expected.stored.runs
            last = last_applied(stored.applied, actor.id, stored.held.get((actor.id, sha256), this_run))
            verdict = ExtractVerdict(actor.id, path.name, sha256, "applied")
            if must_be_held(judged, last, hold) and verdict.extract_id not in (release or {}):
                verdict = replace(verdict, state="held")
                held.add(sha256)
                expected.stored.held.setdefault((actor.id, sha256), this_run)
            else:
                seen.add(sha256)
                expected.stored.applied[actor.id, sha256] = Applied(len(records), created_at, this_run)
            expected.extracts.append(verdict)

            for record, codes in judged:
                contact_type = contact_type_of(record, world)
                outcome = "rejected" if codes else verdict.state
                of_record = RecordVerdict(actor.id, path.name, sha256, record.record_no, contact_type, outcome, codes)
                if outcome == "rejected":
                    expected.records.append(of_record)
                    continue
                number = cpr_number(record.personnummer)
                assert number is not None, "else it had the finding 1001"
                assert contact_type is not None, "else it had the finding 9153"
                claim = claim_of(record, actor, world, created_at, sha256)
                of_record = replace(of_record, notices=tuple(notices(record, world)))
                by_place = accepted if outcome == "applied" else waiting
                by_place.setdefault((number, contact_type), []).append((claim, of_record))

    # 4.6: N3 looks at all that was accepted, and at what the store held of the contacts that are settled
    told = [(place, claim) for part in (accepted, waiting) for place, rivals in part.items() for claim, _ in rivals]
    held_before = [(place, expected.stored.contacts[place]) for place in accepted if place in expected.stored.contacts]
    shared = shared_values((claim.value, number) for (number, _), claim in (*told, *held_before) if claim.value)

    for rivals in waiting.values():
        expected.records += [with_shared(of_record, claim, shared) for claim, of_record in rivals]

    # 5.3: who wins
    for place, rivals in accepted.items():
        earlier = expected.stored.contacts.get(place)
        winner, outcomes = reconcile([claim for claim, _ in rivals], earlier)
        expected.stored.contacts[place] = winner
        for (claim, verdict), outcome in zip(rivals, outcomes, strict=True):
            expected.records.append(replace(with_shared(verdict, claim, shared), outcome=outcome))
            if outcome == "applied":
                before = None if earlier is None else earlier.value
                expected.history.append(Change(*place, before, claim.value, claim.actor, claim.sha256, claim.record_no))
    expected.extracts.sort(key=lambda verdict: (verdict.actor, verdict.file))
    expected.records.sort(key=lambda verdict: (verdict.actor, verdict.file, verdict.record_no))
    return expected


def with_shared(verdict: RecordVerdict, claim: Claim, shared: Mapping[str, int]) -> RecordVerdict:
    """The verdict with the notice N3, where its value is one of those that many citizens have."""
    return replace(verdict, notices=tuple(sorted([*verdict.notices, "N3"]))) if claim.value in shared else verdict


def taken_away(actor: Actor, release: Mapping[str, Path]) -> list[Path]:
    """The files that are to be released and no longer in the actor's source folder."""
    there = {f"{actor.id}-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}" for path in extracts_of(actor)}
    return [
        path
        for extract_id, path in release.items()
        if extract_id.rpartition("-")[0] == actor.id and extract_id not in there
    ]


def read_or_refuse(path: Path, actor: Actor, world: World, first_pulled: datetime) -> list[Record] | Refusal:
    """The records of an extract, unless the whole of it is refused (4.1)."""
    if not world.permissions.get(actor.type):
        return Refusal(1013, f"organisation type {actor.type} has no kind of access at all")
    if not actor.signs:
        return read_extract(path, actor.encoding)
    refusal = judge_manifest(path, actor, world.started_at, first_pulled)
    if refusal is not None:
        return refusal
    records = read_extract(path, actor.encoding)
    if not isinstance(records, Refusal) and len(records) != claims_beside(path)["records"]:
        return Refusal(1014, "the manifest tells another number of records")
    return records


# ------------------------------------------------------------------------------------------------
# 2.4 Manifests: RFC 7515 and 7519 by hand, for the library that the program asks may be wrong too
# ------------------------------------------------------------------------------------------------

WRITE_SCOPE = "Borgerkommunikation.BorgersKontaktinformationService.informationer.write"
CLAIMS = {"iss": str, "sub": str, "iat": (int, float), "scope": str, "sha256": str, "records": int}
TOLERANCE = 300


def judge_manifest(path: Path, actor: Actor, started_at: datetime, first_pulled: datetime) -> Refusal | None:
    """Why the manifest beside an extract proves too little; None where it proves all but the number of records."""
    token = path.with_name(path.name + ".jwt")
    if not token.is_file():
        return Refusal(1012, "no manifest")
    parts = token.read_bytes().strip().split(b".")
    try:
        header, claims, signature = json.loads(unpadded(parts[0])), json.loads(unpadded(parts[1])), unpadded(parts[2])
        assert len(parts) == 3
        assert header["alg"] in ("EdDSA", "ES256")
        assert all(isinstance(claims[claim], kind) and claims[claim] is not True for claim, kind in CLAIMS.items())
        assert claims["iat"] >= 0
        assert claims["records"] >= 0
        assert re.fullmatch("[0-9a-fA-F]{64}", claims["sha256"])
        assert "aud" not in claims
    except (AssertionError, ValueError, KeyError, IndexError, TypeError):
        return Refusal(1012, "no JSON Web Token with the claims that are needed")
    if claims["iss"] != actor.id:
        return Refusal(1012, "another actor's manifest")
    if claims["sub"] not in actor.users:
        return Refusal(1012, "nobody knows this user")
    keys, scopes = actor.users[claims["sub"]]
    if not any(has_signed(key, header["alg"], signature, b".".join(parts[:2])) for key in keys):
        return Refusal(1012, "none of the user's keys has signed it")
    if max(claims["iat"], claims.get("nbf", 0)) > started_at.timestamp() + TOLERANCE:
        return Refusal(1012, "it is from the future")
    if claims.get("exp", float("inf")) <= first_pulled.timestamp() - TOLERANCE:
        return Refusal(1012, "it had expired")
    if WRITE_SCOPE not in scopes or WRITE_SCOPE not in claims["scope"].split():
        return Refusal(1013, "the user may not write")
    if claims["sha256"].lower() != hashlib.sha256(path.read_bytes()).hexdigest():
        return Refusal(1014, "it is about another file")
    return None


def claims_beside(path: Path) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(unpadded(path.with_name(path.name + ".jwt").read_bytes().split(b".")[1]))
    return claims


def unpadded(part: bytes) -> bytes:
    return base64.b64decode(part + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)


def has_signed(key: str, algorithm: str, signature: bytes, signed: bytes) -> bool:
    public = load_der_public_key(base64.b64decode(key))
    try:
        if isinstance(public, Ed25519PublicKey) and algorithm == "EdDSA":
            public.verify(signature, signed)
            return True
        if isinstance(public, EllipticCurvePublicKey) and algorithm == "ES256" and len(signature) == 64:
            r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
            public.verify(encode_dss_signature(r, s), signed, ECDSA(SHA256()))
            return True
    except InvalidSignature:
        return False
    return False


def claim_of(record: Record, actor: Actor, world: World, created_at: datetime, sha256: str) -> Claim:
    """What an accepted record claims. Without registreret the extract's creation time counts (5.3)."""
    registered = registered_at(record, world) if trimmed(record.registreret) else created_at
    assert registered is not None, "an accepted record has a readable time, or none"
    return Claim(
        value=stored_value(record, world),
        registered_at=registered,
        created_at=created_at,
        actor=actor.id,
        priority=actor.priority,
        record_no=record.record_no,
        sha256=sha256,
    )


def read_setting(workspace: Path, name: str | None, table: str, shipped: dict[str, Any]) -> dict[str, Any]:
    """One table of a TOML file that the workspace names, or the shipped one."""
    if name is None:
        return shipped
    content: dict[str, Any] = tomllib.loads((workspace / name).read_text("utf-8"))[table]
    return content


def extracts_of(actor: Actor) -> list[Path]:
    """The extracts in the actor's source folder, by name; no folder below it is looked into."""
    return sorted(
        (path for path in actor.source.iterdir() if path.is_file() and is_extract_name(path.name)),
        key=lambda path: path.name,
    )


# ------------------------------------------------------------------------------------------------
# As a program: what a workspace must give, as CSV
# ------------------------------------------------------------------------------------------------


def lines_of(expected: Expected) -> Iterator[list[str | int]]:
    """One line for each refused extract and each record, sorted by actor, file and record_no."""
    lines = [
        (extract.actor, extract.file, 0, "", "refused", str(extract.code))
        for extract in expected.extracts
        if extract.state == "refused"
    ]
    for verdict in expected.records:
        codes = " ".join(str(code) for code in verdict.codes)
        contact_type = verdict.contact_type or ""
        lines.append((verdict.actor, verdict.file, verdict.record_no, contact_type, verdict.outcome, codes))
    for actor, file, record_no, *rest in sorted(lines):
        yield [actor, file, record_no or "", *rest]


def main() -> None:
    parser = argparse.ArgumentParser(description="What a run over a workspace must give, as CSV.")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--as-of", type=date.fromisoformat, required=True)
    parser.add_argument(
        "--started-at",
        type=datetime.fromisoformat,
        default=datetime.now(UTC),
        help="when the run starts, with offset (default: now); only registreret in the future depends on it",
    )
    arguments = parser.parse_args()
    expected = run(arguments.workspace, arguments.as_of, arguments.started_at)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    page = csv.writer(sys.stdout, delimiter=";", lineterminator="\n")
    page.writerow(["actor", "file", "record_no", "contact_type", "outcome", "codes"])
    page.writerows(lines_of(expected))


if __name__ == "__main__":
    main()
