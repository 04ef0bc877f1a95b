"""Evaluate: the rules x a batch of records -> findings.

The loop runs over a dozen rules, never over records.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from afstem import codelist, cpr_number, registration_time
from afstem.clock import microseconds
from afstem.lookup import Knowledge, look_up, nothing_known
from afstem.rules import RULES, Bools, Columns, Ints
from afstem.schema import LINE_FAULTS, LONGEST_REFERENCE, MALFORMED_REASONS, NAMED_COLUMNS, ContactType
from afstem.text_bytes import assembled
from afstem.value_formats import VALUE_FORMATS

CLOCK_TOLERANCE = timedelta(minutes=5)

# glibc gives a large block back to the system as soon as it is freed, and every batch would have the same columns
# zeroed page by page again: a third of the time. Once a block of up to 32 MiB was freed it keeps such blocks. This
# one is never touched, so it takes no memory; to another allocator it means nothing.
np.empty(2**25 - 2**16, np.uint8)


@dataclass(frozen=True)
class Terms:
    """What records are judged by besides themselves.

    ``latest_time`` is the last acceptable ``registreret`` in microseconds UTC. Without ``knowledge`` (an actor that
    checks its own file) nothing that needs the store is judged.
    """

    codelist: Mapping[str, str]
    zone: ZoneInfo
    latest_time: int
    knowledge: Knowledge | None


def latest_time(started_at: datetime) -> int:
    """The last acceptable ``registreret`` of a run that starts at this moment (SPEC 4.2), in microseconds UTC."""
    return microseconds(started_at + CLOCK_TOLERANCE)


@dataclass(frozen=True)
class Findings:
    """Every finding of a batch, by record and within a record in the order of the rules.

    ``at`` is the record's place in the batch; ``suggestion`` is a `suggestions.Suggestion` or None. ``primary`` has one
    entry a record: its first code, 0 without any.
    """

    at: Ints
    code: npt.NDArray[np.int32]
    reason: npt.NDArray[np.object_]
    suggestion: npt.NDArray[np.object_]
    primary: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Judged:
    """A batch with its verdicts, one entry a record.

    ``registered_at`` is `NO_TIME` where none was given. ``normalised`` is the value as the store keeps it, null for a
    removal and for what is not acceptable. ``reference`` is trimmed. ``given`` has the same values once more by contact
    type, each with its record's place in the batch, where one was given.
    """

    columns: Columns
    registered_at: Ints
    normalised: pa.StringArray
    given: Mapping[ContactType, tuple[Ints, pa.StringArray]]
    reference: pa.StringArray
    findings: Findings


def evaluate(records: pa.Table, terms: Terms) -> Judged:
    """Judge one batch of `schema.record_schema` records by every rule."""
    text = {name: _trimmed(records[name]) for name in NAMED_COLUMNS}
    registered_at, unreadable = registration_time.read_times(text["registreret"], terms.zone)
    number = cpr_number.read_numbers(text["personnummer"])
    contact_type = codelist.contact_types(text["kontaktdatatype"], terms.codelist)
    removes = _is_blank(text["kontaktdata"])
    normalised, given = _normalised(text["kontaktdata"], ~removes, contact_type)
    removes_email = removes & (contact_type == ContactType.EMAIL)
    known = look_up(number, terms.knowledge, removes_email) if terms.knowledge else nothing_known(len(number))
    columns = Columns(
        malformed=_malformed(records["fault"], text, unreadable, registered_at > terms.latest_time),
        personnummer=text["personnummer"],
        number=number,
        contact_type=contact_type,
        value=text["kontaktdata"],
        removes=removes,
        acceptable=_bools(pc.is_valid(normalised)),
        known=known.known,
        dead=known.dead,
        may_write=known.may_write,
        email_subscribed=known.email_subscribed,
    )
    findings = _find(columns, with_store=terms.knowledge is not None)
    return Judged(columns, registered_at, normalised, given, text["reference"], findings)


def _malformed(
    fault: pa.ChunkedArray, text: Mapping[str, pa.StringArray], unreadable: Bools, in_future: Bools
) -> npt.NDArray[np.int8]:
    """The place in `MALFORMED_REASONS` of the first reason why each record cannot be read."""
    raised = {
        "personnummer-missing": _is_blank(text["personnummer"]),
        "kontaktdatatype-missing": _is_blank(text["kontaktdatatype"]),
        "registreret-unreadable": unreadable,
        "registreret-in-future": in_future,
        "reference-too-long": _is_longer(text["reference"], LONGEST_REFERENCE),
    }
    if fault.null_count < len(fault):
        raised |= {slug: _bools(pc.fill_null(pc.equal(fault, slug), False)) for slug in LINE_FAULTS}
    malformed = np.zeros(len(unreadable), np.int8)
    # The first reason counts, so it is written last.
    for place in range(len(MALFORMED_REASONS) - 1, 0, -1):
        where = raised.get(MALFORMED_REASONS[place])
        if where is not None and where.any():
            malformed[where] = place
    return malformed


def _normalised(
    values: pa.StringArray, are_given: Bools, contact_type: npt.NDArray[np.int8]
) -> tuple[pa.StringArray, dict[ContactType, tuple[Ints, pa.StringArray]]]:
    """Each value that is given in the form its contact type is stored in, null where it has none: one a record, and by
    contact type."""
    parts = []
    given = {}
    for member, value_format in VALUE_FORMATS.items():
        chosen = are_given & (contact_type == member)
        forms = value_format.normalise(values.filter(pa.array(chosen)))
        parts.append((chosen, forms))
        given[member] = (np.flatnonzero(chosen), forms)
    return assembled(len(values), parts), given


def _find(columns: Columns, *, with_store: bool) -> Findings:
    """Apply the rules in their order; a rule is silent where one that silences it holds."""
    records = len(columns.number)
    holds: dict[int, Bools] = {}
    reasons: dict[int, npt.NDArray[np.object_]] = {}
    suggestions: dict[int, npt.NDArray[np.object_]] = {}
    for rule in RULES:
        if rule.predicate is None or (rule.needs_citizen and not with_store):
            continue
        broken = rule.predicate(columns)
        for code in rule.silenced_by:
            if code in holds:
                broken = broken & ~holds[code]
        holds[rule.code] = broken
        broken_at = np.flatnonzero(broken)
        reasons[rule.code] = np.full(len(broken_at), rule.slug, np.object_)
        suggestions[rule.code] = np.full(len(broken_at), None, np.object_)
        if rule.explain:
            reasons[rule.code][:] = rule.explain(columns, broken_at)
        if rule.suggest and len(broken_at):
            suggestions[rule.code][:] = rule.suggest(columns, broken_at, reasons[rule.code].tolist())
    at = np.concatenate([np.flatnonzero(broken) for broken in holds.values()])
    by_record = np.argsort(at, kind="stable")
    at = at[by_record]
    codes = np.repeat(np.array(list(holds), np.int32), [len(slugs) for slugs in reasons.values()])[by_record]
    primary = np.zeros(records, np.int32)
    first = np.diff(at, prepend=-1) != 0
    primary[at[first]] = codes[first]
    reason, suggestion = (np.concatenate(list(of.values()))[by_record] for of in (reasons, suggestions))
    return Findings(at, codes, reason, suggestion, primary)


def _trimmed(texts: pa.ChunkedArray) -> pa.StringArray:
    return pc.fill_null(pc.utf8_trim_whitespace(texts.combine_chunks()), "")


def _is_longer(texts: pa.StringArray, limit: int) -> Bools:
    """Which texts have more than so many characters, which are counted only where there are more bytes."""
    longer = _bools(pc.greater(pc.binary_length(texts), limit)).copy()
    if longer.any():
        longer[longer] = _bools(pc.greater(pc.utf8_length(texts.filter(pa.array(longer))), limit))
    return longer


def _is_blank(texts: pa.StringArray) -> Bools:
    return _bools(pc.equal(texts, ""))


def _bools(column: pa.BooleanArray | pa.ChunkedArray) -> Bools:
    flags: Bools = np.asarray(column, dtype=np.bool_)
    return flags
