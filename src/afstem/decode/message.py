"""One message of SPEC 2.3 (JSON Lines), read one at a time: slow, obvious, and the truth.

`json_lines` decides in columns what is plainly well-formed; every other line comes here, and a test compares
the two over all kinds of lines.
"""

import json
import re
from collections import Counter
from types import NoneType
from typing import Any, NamedTuple

from afstem.decode.lines import MAX_LINE_TEXT

MAX_DEPTH = 100
"""RFC 8259, section 9, lets a reader limit the depth; Python's own limit moves with the caller's stack."""

MAX_REPEAT = 64
"""How many times its own size a line may take as records.

The message's fields are repeated in each of its records, so a long field over a long list would take memory
without bound. A message of up to this many elements never gets there, and a real one has three.
"""

MAX_ELEMENTS = 1000
"""In the list of one message, which is about one citizen. A line of sixteen million signs could hold five million."""

MESSAGE_FIELDS = ("personnummer", "registreret", "reference")
LIST_FIELD = "kontaktinformationer"
ELEMENT_FIELDS = ("kontaktdatatype", "kontaktdata")

_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Submitted(NamedTuple):
    """A record as submitted; with a fault it has no texts."""

    fault: str | None
    personnummer: str | None = None
    kontaktdatatype: str | None = None
    kontaktdata: str | None = None
    registreret: str | None = None
    reference: str | None = None


class _LongInteger(str):
    """An integer of so many digits that Python may refuse to convert it."""


def _read_integer(digits: str) -> int | _LongInteger:
    return int(digits) if len(digits) < 19 else _LongInteger(digits)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# An object becomes the tuple of its pairs, so that a key that stands twice is seen.
_DECODER = json.JSONDecoder(object_pairs_hook=tuple, parse_int=_read_integer, parse_constant=_refuse_constant)


def read_message(line: str) -> list[Submitted]:
    """The records of one line, in order; one, with a fault, when no list can be found in it.

    A fault of a field of the message is a fault of each of its records.
    """
    if _is_too_deep(line):
        return [Submitted("json")]
    try:
        message = _DECODER.decode(line)
    except ValueError:
        return [Submitted("json")]
    if type(message) is not tuple:
        return [Submitted("message")]
    fields = dict(message)
    elements = fields.get(LIST_FIELD)
    if type(elements) is not list or len(elements) > MAX_ELEMENTS:
        return [Submitted("message")]
    fault = _fault_of(message, (*MESSAGE_FIELDS, LIST_FIELD), [fields.get(name) for name in MESSAGE_FIELDS])
    if fault:
        records = [Submitted(fault)] * max(1, len(elements))
    else:
        shared = {name: fields.get(name) for name in MESSAGE_FIELDS}
        records = [_read_element(element, shared) for element in elements]
    return [Submitted("message")] if _repeats_too_much(line, records, fields) else records


def _read_element(element: Any, shared: dict[str, str | None]) -> Submitted:
    if type(element) is not tuple:
        return Submitted("message")
    fields = dict(element)
    identifier = fields.get("kontaktdatatype")
    if type(identifier) in (int, _LongInteger):
        identifier = str(identifier)
    value = fields.get("kontaktdata")
    fault = _fault_of(element, ELEMENT_FIELDS, [identifier, value])
    if fault:
        return Submitted(fault)
    return Submitted(None, kontaktdatatype=identifier, kontaktdata=value, **shared)


def _fault_of(pairs: tuple[tuple[str, Any], ...], names: tuple[str, ...], texts: list[Any]) -> str | None:
    """What is wrong with an object: a field of SPEC's that stands twice, or a text that is none."""
    if any(type(text) not in (str, NoneType) for text in texts):
        return "message"
    if len(dict(pairs)) < len(pairs):
        times = Counter(key for key, _ in pairs)
        if any(times[name] > 1 for name in names):
            return "message"
    if any(_LONE_SURROGATE.search(text) for text in texts if text):
        return "encoding"
    return None


def _repeats_too_much(line: str, records: list[Submitted], fields: dict[str, Any]) -> bool:
    if len(records) <= MAX_REPEAT:
        return False
    faults = sum(record.fault is not None for record in records)
    shared = sum(len(fields[name]) for name in MESSAGE_FIELDS if type(fields.get(name)) is str)
    return (len(records) - faults) * shared + faults * min(len(line), MAX_LINE_TEXT) > MAX_REPEAT * len(line)


def _is_too_deep(line: str) -> bool:
    if line.count("[") + line.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(line):
        bracket = token[0]
        if bracket in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif bracket in "]}":
            depth -= 1
    return False
