"""Intake: one actor's delivery, from its source to staged verdicts (pull, decode, validate, authorise).

Nothing here depends on another actor, so intakes run side by side, on any machine that sees the landing zone and the
store, and an intake that is repeated adds nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from afstem import cpr_number, masking
from afstem.clock import microseconds
from afstem.decode import open_extract
from afstem.errors import RunError, Unreadable
from afstem.evaluate import Judged, Terms, evaluate
from afstem.hold import Excess
from afstem.notices import NOTICE_SCHEMA, notice_rows, take_notice
from afstem.private_files import remove_folder
from afstem.pull import LandedExtract, LeftExtract
from afstem.reconcile import CANDIDATE_SCHEMA, contact_numbers
from afstem.rules import NOTICE_OF_CODE, RULE_OF_CODE
from afstem.schema import NO_TIME, ContactType, record_schema
from afstem.settings import Actor
from afstem.staging import PrivateArrow, RunFolder
from afstem.text_bytes import Ints
from afstem.text_keys import text_keys
from afstem.workers import limited

FINDING_SCHEMA = pa.schema(
    [
        ("record_no", pa.int64()),
        ("reference", pa.string()),
        ("cpr_masked", pa.string()),
        ("cpr_token", pa.string()),
        ("contact_type", pa.string()),
        ("value", pa.string()),
        ("code", pa.int32()),
        ("is_primary", pa.bool_()),
        ("reason", pa.string()),
        ("suggestion", pa.string()),
        ("crowd", pa.int32()),
    ]
)
"""A finding as the rejections show it: masked, without CPR number; of a suggestion its kind. ``crowd``, by which the
citizen is looked for when records come back (`masking.crowds`), they do not show."""

STAGED_CANDIDATE_SCHEMA = pa.schema([field for field in CANDIDATE_SCHEMA if field.name != "source_no"]).append(
    pa.field("value_key", pa.uint64())
)
"""An accepted record, and the key of its value (`text_keys`)."""

TOO_COSTLY = "too-costly"
"""Why an extract is refused that takes more memory or time than one of its size may (`workers.limited`)."""

BREAKS_READER = "breaks-reader"
"""Why an extract is refused that twice was the death of the worker that read it."""

CONTACT_TYPE_SLUGS = pa.array([member.slug for member in ContactType])


@dataclass(frozen=True)
class Tally:
    """How many records of one contact type (null: not in the codelist, or unreadable) were accepted and rejected."""

    contact_type: str | None
    accepted: int
    rejected: int


@dataclass(frozen=True)
class ExtractSummary:
    """What came of one extract; counts and names only, no record.

    ``state`` is ``read``, ``held`` (read, too, but not to be applied), ``refused`` (with ``code`` and ``reason``) or
    ``already-applied``. ``created_at`` is ISO 8601 in UTC. ``removals`` are the records that ask for one, ``hold`` the
    reasons to hold it, which do not count where it is ``released``. ``header`` are the submitted column names,
    ``columns`` the record-table column of each; a second copy of a held extract has none, for it is not read again.
    """

    actor: str
    file: str
    extract_id: str
    sha256: str
    bytes: int
    created_at: str
    state: str
    code: int | None = None
    reason: str | None = None
    records: int = 0
    tallies: tuple[Tally, ...] = ()
    findings: dict[str, int] = field(default_factory=dict)
    notices: dict[str, int] = field(default_factory=dict)
    removals: int = 0
    hold: tuple[Excess, ...] = ()
    released: bool = False
    header: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def was_read(self) -> bool:
        """Whether its records were judged; not of a refused one, of one applied before, or of a second copy."""
        return self.state in ("read", "held") and bool(self.columns)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        lists = {
            "tallies": tuple(Tally(**tally) for tally in content["tallies"]),
            "hold": tuple(Excess(**excess) for excess in content["hold"]),
            "header": tuple(content["header"]),
            "columns": tuple(content["columns"]),
        }
        return cls(**content | lists)


@dataclass(frozen=True)
class Delivery:
    """What came of one actor: ``delivered``, ``nothing`` or ``unavailable`` (with a reason slug)."""

    delivery: str
    reason: str | None
    extracts: tuple[ExtractSummary, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        extracts = tuple(ExtractSummary.from_json(extract) for extract in content["extracts"])
        return cls(content["delivery"], content["reason"], extracts)


def were_read(extracts: Iterable[ExtractSummary]) -> list[ExtractSummary]:
    """Those whose records were judged, the held ones too."""
    return [extract for extract in extracts if extract.was_read]


def are_held(extracts: Iterable[ExtractSummary]) -> list[ExtractSummary]:
    """Those whose records were judged and are not to be applied."""
    return [extract for extract in extracts if extract.was_read and extract.state == "held"]


def to_apply(extracts: Iterable[ExtractSummary]) -> list[ExtractSummary]:
    """Those whose accepted records compete for the store."""
    return [extract for extract in extracts if extract.was_read and extract.state == "read"]


def summarise(landed: LandedExtract, state: str, **more: Any) -> ExtractSummary:
    return ExtractSummary(
        actor=landed.actor,
        file=landed.file,
        extract_id=landed.extract_id,
        sha256=landed.sha256,
        bytes=landed.bytes,
        created_at=landed.created_at.isoformat(),
        state=state,
        **more,
    )


def refuse(landed: LandedExtract, code: int, reason: str | None = None) -> ExtractSummary:
    """The summary of an extract whose records are not read (SPEC 4.1)."""
    return summarise(landed, "refused", code=code, reason=reason or RULE_OF_CODE[code].slug, findings={str(code): 1})


def refuse_left(left: LeftExtract) -> ExtractSummary:
    """The summary of an extract that could not even be landed."""
    return ExtractSummary(
        actor=left.actor,
        file=left.file,
        extract_id=left.extract_id,
        sha256="",
        bytes=0,
        created_at=left.created_at.isoformat(),
        state="refused",
        code=1014,
        reason=left.reason,
        findings={"1014": 1},
    )


def refuse_login(actor: str, started_at: datetime) -> ExtractSummary:
    """The finding 1012 of an actor whose source does not let us in: there is no file that it could be about."""
    return ExtractSummary(
        actor=actor,
        file="",
        extract_id=f"{actor}-login",
        sha256="",
        bytes=0,
        created_at=started_at.isoformat(),
        state="refused",
        code=1012,
        reason=RULE_OF_CODE[1012].slug,
        findings={"1012": 1},
    )


def validate_extract(
    landed: LandedExtract,
    actor: Actor,
    terms: Terms,
    token_key: bytes,
    staged: RunFolder,
    on_records: Callable[[int], None] = lambda records: None,
    lasting: bool = False,
) -> ExtractSummary:
    """Judge every record of a landed extract and stage the verdicts, unless that was done already.

    ``on_records`` hears how many more records are done. An extract that turns out unreadable, even half-way, or costs
    more than a file may, is refused whole and leaves nothing staged. ``lasting`` brings the verdicts to disk.
    """
    if summary := staged.summary(landed.extract_id):
        return replace(ExtractSummary.from_json(summary), file=landed.file)
    attempt = staged.begin_attempt(landed.extract_id)
    try:
        with limited(landed.bytes):
            judged = _stage(landed, actor, terms, token_key, attempt, on_records)
    except Unreadable as unreadable:
        reason = unreadable.reason
    except MemoryError:
        reason = TOO_COSTLY
    else:
        staged.end_attempt(attempt, landed.extract_id, judged.to_json(), lasting=lasting)
        return judged
    remove_folder(attempt)
    return refuse(landed, 1014, reason)


def _stage(
    landed: LandedExtract,
    actor: Actor,
    terms: Terms,
    token_key: bytes,
    folder: Path,
    on_records: Callable[[int], None],
) -> ExtractSummary:
    reader = open_extract(landed.path, landed.path.name, actor.encoding)
    created_at = microseconds(landed.created_at)
    extras = sum(column.startswith("extra.") for column in reader.header.columns)
    accepted, rejected, findings = Counter[int](), Counter[int](), Counter[int]()
    notices = Counter[str]()
    records = removals = 0
    with (
        PrivateArrow(folder / "accepted.arrow", STAGED_CANDIDATE_SCHEMA) as accepted_file,
        PrivateArrow(folder / "rejected.arrow", rejected_schema(extras)) as rejected_file,
        PrivateArrow(folder / "findings.arrow", FINDING_SCHEMA) as findings_file,
        PrivateArrow(folder / "notices.arrow", NOTICE_SCHEMA) as notices_file,
    ):
        for batch in reader.batches():
            judged = evaluate(batch, terms)
            is_rejected = judged.findings.primary != 0
            accepted_file.write(_candidates(batch, judged, created_at))
            for code, at in take_notice(judged).items():
                notice = NOTICE_OF_CODE[code]
                kept = at[: max(0, notice.rows_kept - notices[code])]
                notices_file.write(notice_rows(notice, _noticed(batch, judged, kept)))
                notices[code] += len(at)
            rejected_file.write(_rejected(batch, judged))
            findings_file.write(_findings(batch, judged, token_key))
            accepted += count(judged.columns.contact_type[~is_rejected])
            rejected += count(judged.columns.contact_type[is_rejected])
            findings += count(judged.findings.code)
            records += len(batch)
            removals += int(np.count_nonzero(judged.columns.removes & (judged.columns.malformed == 0)))
            on_records(len(batch))
    check_physical_records(landed.extract_id, records, reader.physical_records)
    if landed.records not in (None, records):
        raise Unreadable("manifest-records")
    return summarise(
        landed,
        "read",
        records=records,
        removals=removals,
        tallies=tuple(
            Tally(slug_of(contact_type), accepted[contact_type], rejected[contact_type])
            for contact_type in sorted(accepted | rejected)
        ),
        findings={str(code): findings[code] for code in sorted(findings)},
        notices=dict(sorted((+notices).items())),
        header=reader.header.names,
        columns=reader.header.columns,
    )


def check_physical_records(extract_id: str, read: int, physical: int | None) -> None:
    """Raise `RunError` where a file holds more or fewer records than were read; None where it does not tell."""
    if physical is not None and physical != read:
        raise RunError(f"{extract_id}: {read} records were read, but the file holds {physical}")


def count(column: np.ndarray[Any, Any]) -> Counter[int]:
    """How often each value stands in a column of integers."""
    values, counts = np.unique(column, return_counts=True)
    return Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def slug_of(contact_type: int) -> str | None:
    return ContactType(contact_type).slug if contact_type >= 0 else None


def rejected_schema(extra_columns: int) -> pa.Schema:
    """A rejected record as submitted, with its codes (primary first), their reasons, and its contact type.

    ``suggestions`` stand beside the reasons: kind and value with a blank between, null where there is none.
    """
    schema = record_schema(extra_columns)
    for name, kind in (
        ("contact_type", pa.string()),
        ("codes", pa.list_(pa.int32())),
        ("reasons", pa.list_(pa.string())),
        ("suggestions", pa.list_(pa.string())),
    ):
        schema = schema.append(pa.field(name, kind))
    return schema


def _candidates(batch: pa.Table, judged: Judged, created_at: int) -> pa.Table:
    """The accepted records of a batch, sorted by contact so that a range of citizens is one stretch of them."""
    chosen = np.flatnonzero(judged.findings.primary == 0)
    contact = contact_numbers(judged.columns.number[chosen], judged.columns.contact_type[chosen])
    order = np.argsort(contact, kind="stable")
    chosen = chosen[order]
    registered_at = judged.registered_at[chosen]
    value = judged.normalised.take(pa.array(chosen))
    return pa.table(
        {
            "contact": contact[order],
            "value": value,
            "registered_at": np.where(registered_at == NO_TIME, created_at, registered_at),
            "record_no": batch["record_no"].to_numpy()[chosen],
            "value_key": text_keys(value),
        }
    )


def _noticed(batch: pa.Table, judged: Judged, at: Ints) -> pa.Table:
    """The accepted records at these places of a batch, as far as a notice tells of them."""
    return pa.table(
        {
            "contact": contact_numbers(judged.columns.number[at], judged.columns.contact_type[at]),
            "value": judged.normalised.take(pa.array(at)),
            "record_no": batch["record_no"].to_numpy()[at],
        }
    )


def _rejected(batch: pa.Table, judged: Judged) -> pa.Table:
    chosen = np.flatnonzero(judged.findings.primary != 0)
    per_record = np.bincount(judged.findings.at, minlength=len(batch))[chosen]
    offsets = pa.array(np.concatenate([[0], np.cumsum(per_record)]), pa.int32())
    rows = batch.take(pa.array(chosen))
    rows = rows.append_column("contact_type", _contact_type_slugs(judged.columns.contact_type[chosen]))
    rows = rows.append_column("codes", pa.ListArray.from_arrays(offsets, pa.array(judged.findings.code)))
    suggestions = [found and f"{found.kind} {found.value}" for found in judged.findings.suggestion]
    for name, texts in (("reasons", judged.findings.reason), ("suggestions", suggestions)):
        rows = rows.append_column(name, pa.ListArray.from_arrays(offsets, pa.array(texts, pa.string())))
    return rows


def _findings(batch: pa.Table, judged: Judged, token_key: bytes) -> pa.Table:
    """One row a finding, with nothing in it that tells who the citizen is."""
    at = judged.findings.at
    personnummer = judged.columns.personnummer.take(pa.array(at))
    number = judged.columns.number[at]
    about_value = np.isin(judged.findings.code, [code for code, rule in RULE_OF_CODE.items() if rule.about_value])
    value = judged.columns.value.take(pa.array(np.where(about_value, at, -1), mask=~about_value))
    reference = judged.reference.take(pa.array(at))
    return pa.table(
        {
            "record_no": batch["record_no"].take(pa.array(at)),
            "reference": masking.mask_values(pc.if_else(pc.equal(reference, ""), None, reference)),
            "cpr_masked": masking.mask_cpr(personnummer, number),
            "cpr_token": _tokens(personnummer, number, token_key),
            "contact_type": _contact_type_slugs(judged.columns.contact_type[at]),
            "value": masking.mask_values(value),
            "code": judged.findings.code,
            "is_primary": judged.findings.primary[at] == judged.findings.code,
            "reason": pa.array(judged.findings.reason, pa.string()),
            "suggestion": pa.array([found and found.kind for found in judged.findings.suggestion], pa.string()),
            "crowd": masking.crowds(number),
        }
    )


def _tokens(personnummer: pa.StringArray, number: np.ndarray[Any, np.dtype[np.int64]], key: bytes) -> pa.Array:
    """The same token for the same citizen however the number was written; null where nothing was written."""
    written = pc.if_else(pa.array(number >= 0), cpr_number.to_texts(np.maximum(number, 0)), personnummer)
    distinct = pc.if_else(pc.equal(written, ""), None, written).dictionary_encode()
    tokens = pa.array(masking.tokens(distinct.dictionary.to_pylist(), key), pa.string())
    return tokens.take(distinct.indices)


def _contact_type_slugs(contact_type: np.ndarray[Any, np.dtype[np.int8]]) -> pa.Array:
    return CONTACT_TYPE_SLUGS.take(pa.array(contact_type, mask=contact_type < 0))
