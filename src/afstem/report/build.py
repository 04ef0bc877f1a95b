"""From a run's manifest and its rejections dataset to what the pages show.

`ReportData` is as large as actors times codes times reasons, never as large as the rejections: the dataset is read
batch by batch and only counts and a few examples are kept. Every number that can be counted twice is (manifest and
dataset), and a difference stops the run: a report that disagrees with itself is worse than none.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from afstem.errors import RunError
from afstem.hold import Excess
from afstem.masking import display_value
from afstem.report import sampling
from afstem.rules import RULE_OF_CODE
from afstem.schema import Change, Outcome

SAMPLES_PER_CODE = 50
SAMPLES_PER_ACTOR = 50
DO_FIRST = 8

_READ = ["actor", "extract", "extract_id", "record_no", "cpr_masked", "contact_type", "value", "is_primary", "reason"]
"""What the pages need of the rejections dataset besides the code; neither token nor reference."""

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")

_COUNTED = ["findings", "primary", "extracts"]


@dataclass(frozen=True)
class Counts:
    """How often something was found: ``primary`` counts records it rejected, ``extracts`` whole extracts."""

    findings: int = 0
    primary: int = 0
    extracts: int = 0


@dataclass(frozen=True)
class Stratum:
    """How often one actor was found to break one rule for one reason."""

    code: int
    actor: str
    reason: str
    counts: Counts


@dataclass(frozen=True)
class Balance:
    """Records of one contact type (None: the type could not be read) and what became of them."""

    contact_type: str | None
    records: int
    outcomes: Mapping[Outcome, int]


@dataclass(frozen=True)
class Changes:
    """What an actor's records of one contact type changed, or would have in a dry run: stored values by `Change`."""

    actor: str
    contact_type: str
    counts: Mapping[Change, int]


@dataclass(frozen=True)
class Extract:
    """One file that was received, as the manifest tells it; ``place`` is its place there, from 1.

    ``hold`` is why it is held, or would be were it not ``released``.
    """

    place: int
    actor: str
    file: str
    sha256: str
    bytes: int
    records: int
    state: str
    code: int | None
    reason: str | None
    created_at: datetime | None
    outcomes: Mapping[Outcome, int]
    hold: tuple[Excess, ...]
    released: bool

    @property
    def has_hold(self) -> bool:
        """Whether it is held, or was and is released now."""
        return self.state == "held" or self.released


@dataclass(frozen=True)
class Sample:
    """One finding shown as an example; everything in it is masked."""

    code: int
    actor: str
    extract: str
    record_no: int | None
    cpr_masked: str | None
    contact_type: str | None
    value: str | None
    reason: str


@dataclass(frozen=True)
class CodeReport:
    """What the page of one error code shows."""

    code: int
    known: bool
    counts: Counts
    reasons: Mapping[str, Counts]
    actors: Mapping[str, Counts]
    samples: tuple[Sample, ...]
    download_bytes: int


@dataclass(frozen=True)
class ActorReport:
    """What the page of one actor shows."""

    id: str
    name: str
    type: str
    delivery: str
    reason: str | None
    records: int
    outcomes: Mapping[Outcome, int]
    balance: tuple[Balance, ...]
    extracts: tuple[Extract, ...]
    counts: Counts
    codes: Mapping[int, Counts]
    reasons: Mapping[tuple[int, str], Counts]
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class ToDo:
    """One line of what to do first: one call to one actor about one code."""

    actor: str
    code: int
    counts: Counts


@dataclass(frozen=True)
class ReportData:
    """Everything the pages of one run show."""

    run_id: str
    started_at: datetime
    finished_at: datetime
    as_of: date
    timezone: str
    dry_run: bool
    status: str
    version: str
    rules_digest: str
    validators: Mapping[str, str]
    records: int
    outcomes: Mapping[Outcome, int]
    balance: tuple[Balance, ...]
    changes: tuple[Changes, ...]
    counts: Counts
    codes: Mapping[int, CodeReport]
    actors: Mapping[str, ActorReport]
    extracts: tuple[Extract, ...]
    do_first: tuple[ToDo, ...]

    @property
    def started_on(self) -> date:
        """The day on which the run started, where it runs."""
        return self.started_at.astimezone(ZoneInfo(self.timezone)).date()


def build_report(manifest: Mapping[str, Any], rejections: Path) -> ReportData:
    """What the pages of a run show; ``rejections`` is the folder of its dataset.

    Raises `RunError` where the manifest disagrees with itself or with the rejections dataset.
    """
    strata, kept = _read_findings(rejections, manifest["run_id"])
    _check_balance(manifest)
    _check_findings(manifest, strata)
    extracts = tuple(_extract(place, entry) for place, entry in enumerate(manifest["extracts"], 1))
    return ReportData(
        run_id=manifest["run_id"],
        started_at=datetime.fromisoformat(manifest["started_at"]),
        finished_at=datetime.fromisoformat(manifest["finished_at"]),
        as_of=date.fromisoformat(manifest["as_of"]),
        timezone=manifest["timezone"],
        dry_run=manifest["dry_run"],
        status=manifest["status"],
        version=manifest["afstem_version"],
        rules_digest=manifest["rules_digest"],
        validators=dict(manifest["validators"]),
        records=manifest["records"],
        outcomes=outcome_counts(manifest["outcomes"]),
        balance=_sum_balance(manifest["balance"]),
        changes=tuple(
            Changes(row["actor"], row["contact_type"], {change: row[change] for change in Change})
            for row in manifest["changes"]
        ),
        counts=_sum(strata),
        codes=_code_reports(rejections, strata, kept),
        actors=_actor_reports(manifest, extracts, strata, kept),
        extracts=extracts,
        do_first=_do_first(strata),
    )


def outcome_counts(counts: Mapping[str, int]) -> dict[Outcome, int]:
    """Counts by outcome with every outcome present; an extract that was not read may leave them out."""
    return {outcome: int(counts.get(outcome.value, 0)) for outcome in Outcome}


# --- the dataset ----------------------------------------------------------------------------------------------------


FINDINGS_AT_ONCE = 131_072


def _batches(rejections: Path) -> Iterator[pa.Table]:
    for path in sorted(rejections.glob("code=*/*.parquet")):
        code = pa.scalar(int(path.parent.name.removeprefix("code=")), pa.int32())
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(FINDINGS_AT_ONCE, columns=_READ):
                yield pa.Table.from_batches([batch]).append_column("code", pa.repeat(code, len(batch)))


def _read_findings(rejections: Path, run_id: str) -> tuple[list[Stratum], pa.Table | None]:
    """Counts per stratum, and the findings that may become examples (None without any)."""
    tallies: list[pa.Table] = []
    kept: pa.Table | None = None
    for findings in _batches(rejections):
        tallies.append(_tally(findings))
        chosen = sampling.lowest(findings.append_column("lot", pa.array(sampling.draw(findings, run_id))))
        kept = chosen if kept is None else sampling.lowest(pa.concat_tables([kept, chosen]))
    if kept is None:
        return [], None
    total = pa.concat_tables(tallies).group_by(sampling.STRATUM, use_threads=False)
    rows = total.aggregate([(name, "sum") for name in _COUNTED])
    return [Stratum(code, actor, reason, Counts(*counts)) for code, actor, reason, *counts in _rows(rows)], kept


def _tally(findings: pa.Table) -> pa.Table:
    """Counts per stratum of one batch."""
    whole = pc.is_null(findings["record_no"])
    counted = findings.select(sampling.STRATUM)
    for name, counts in (
        ("findings", pa.repeat(True, len(findings))),
        ("primary", pc.and_not(findings["is_primary"], whole)),
        ("extracts", whole),
    ):
        counted = counted.append_column(name, counts.cast(pa.int64()))
    by_stratum = counted.group_by(sampling.STRATUM, use_threads=False)
    return by_stratum.aggregate([(name, "sum") for name in _COUNTED]).rename_columns([*sampling.STRATUM, *_COUNTED])


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def _samples(kept: pa.Table | None, group: str, size: int) -> dict[Any, tuple[Sample, ...]]:
    """The examples of every code, or of every actor."""
    if kept is None:
        return {}
    samples: dict[Any, list[Sample]] = {}
    for row in _rows(sampling.spread(kept, group, size).select([field.name for field in fields(Sample)])):
        sample = Sample(*row)
        shown = sample if sample.value is None else replace(sample, value=display_value(sample.value))
        samples.setdefault(getattr(sample, group), []).append(shown)
    return {key: tuple(of_key) for key, of_key in samples.items()}


# --- the counts -----------------------------------------------------------------------------------------------------


def _sum(strata: Iterable[Stratum]) -> Counts:
    counts = [stratum.counts for stratum in strata]
    return Counts(
        findings=sum(count.findings for count in counts),
        primary=sum(count.primary for count in counts),
        extracts=sum(count.extracts for count in counts),
    )


def _by(strata: Iterable[Stratum], key: Callable[[Stratum], Key]) -> dict[Key, Counts]:
    """Counts per key, most findings first."""
    sums = {name: _sum(of_key) for name, of_key in _grouped(strata, key).items()}
    return dict(sorted(sums.items(), key=lambda item: (-item[1].findings, item[0])))


def _grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _do_first(strata: list[Stratum]) -> tuple[ToDo, ...]:
    """The actor and code pairs to begin with: whole extracts first, for nothing of them was read."""
    pairs = _by(strata, lambda stratum: (stratum.actor, stratum.code))
    todos = [ToDo(actor, code, counts) for (actor, code), counts in pairs.items()]
    todos.sort(key=lambda todo: (-todo.counts.extracts, -todo.counts.findings))
    return tuple(todos[:DO_FIRST])


def _code_reports(rejections: Path, strata: list[Stratum], kept: pa.Table | None) -> dict[int, CodeReport]:
    """A report of every code of the rules and, after them, of every other code in the dataset."""
    of_code = _grouped(strata, lambda stratum: stratum.code)
    samples = _samples(kept, "code", SAMPLES_PER_CODE)
    return {
        code: CodeReport(
            code=code,
            known=code in RULE_OF_CODE,
            counts=_sum(of_code.get(code, [])),
            reasons=_by(of_code.get(code, []), lambda stratum: stratum.reason),
            actors=_by(of_code.get(code, []), lambda stratum: stratum.actor),
            samples=samples.get(code, ()),
            download_bytes=_size(rejections / f"code={code}"),
        )
        for code in [*RULE_OF_CODE, *sorted(of_code.keys() - RULE_OF_CODE.keys())]
    }


def _actor_reports(
    manifest: Mapping[str, Any], extracts: Iterable[Extract], strata: list[Stratum], kept: pa.Table | None
) -> dict[str, ActorReport]:
    of_actor = _grouped(strata, lambda stratum: stratum.actor)
    balance = _grouped(manifest["balance"], itemgetter("actor"))
    samples = _samples(kept, "actor", SAMPLES_PER_ACTOR)
    return {
        actor["id"]: ActorReport(
            id=actor["id"],
            name=actor["name"],
            type=actor["type"],
            delivery=actor["delivery"],
            reason=actor["reason"],
            records=actor["records"],
            outcomes=outcome_counts(actor["outcomes"]),
            balance=_sum_balance(balance.get(actor["id"], [])),
            extracts=tuple(extract for extract in extracts if extract.actor == actor["id"]),
            counts=_sum(of_actor.get(actor["id"], [])),
            codes=_by(of_actor.get(actor["id"], []), lambda stratum: stratum.code),
            reasons=_by(of_actor.get(actor["id"], []), lambda stratum: (stratum.code, stratum.reason)),
            samples=samples.get(actor["id"], ()),
        )
        for actor in manifest["actors"]
    }


def _sum_balance(rows: Iterable[Mapping[str, Any]]) -> tuple[Balance, ...]:
    """Balance per contact type, in the order of the types, the unreadable ones last."""
    sums: dict[str | None, dict[str, int]] = {}
    for row in rows:
        counts = sums.setdefault(row["contact_type"], dict.fromkeys(("records", *Outcome), 0))
        for name in counts:
            counts[name] += row[name]
    order = ("mobile", "landline", "email", None)
    return tuple(Balance(kind, sums[kind]["records"], outcome_counts(sums[kind])) for kind in order if kind in sums)


def _extract(place: int, entry: Mapping[str, Any]) -> Extract:
    return Extract(
        place=place,
        actor=entry["actor"],
        file=entry["file"],
        sha256=entry["sha256"],
        bytes=entry["bytes"],
        records=entry["records"] or 0,
        state=entry["state"],
        code=entry["code"],
        reason=entry["reason"],
        created_at=datetime.fromisoformat(entry["created_at"]) if entry["created_at"] else None,
        outcomes=outcome_counts(entry["outcomes"]),
        hold=tuple(Excess(**excess) for excess in entry["hold"]),
        released=entry["released"],
    )


def _size(folder: Path) -> int:
    """Bytes of the dataset in a folder; 0 where there is none."""
    return sum(file.stat().st_size for file in folder.rglob("*.parquet")) if folder.is_dir() else 0


# --- two counts of one thing ----------------------------------------------------------------------------------------


def _check_balance(manifest: Mapping[str, Any]) -> None:
    """Raise `RunError` unless records = the sum of the outcomes, everywhere the manifest says so (SPEC 5.1)."""
    parts = [
        ("the run", manifest["records"], manifest["outcomes"]),
        *((f"actor {actor['id']}", actor["records"], actor["outcomes"]) for actor in manifest["actors"]),
        *((f"{row['actor']}, {row['contact_type']}", row["records"], row) for row in manifest["balance"]),
    ]
    for what, records, outcomes in parts:
        if sum(outcome_counts(outcomes).values()) != records:
            raise RunError(f"the report does not balance: {what}")
    balance = _grouped(manifest["balance"], itemgetter("actor"))
    for actor in manifest["actors"]:
        rows = balance.get(actor["id"], [])
        for name, total in (("records", actor["records"]), *outcome_counts(actor["outcomes"]).items()):
            if sum(row[name] for row in rows) != total:
                raise RunError(f"the report does not balance: actor {actor['id']}, {name} by contact type")
    for name, total in (("records", manifest["records"]), *outcome_counts(manifest["outcomes"]).items()):
        if sum(row[name] for row in manifest["balance"]) != total:
            raise RunError(f"the report does not balance: {name} by contact type")
    changed = {
        (row["actor"], row["contact_type"]): sum(row[change] for change in Change) for row in manifest["changes"]
    }
    applied = {(row["actor"], row["contact_type"]): row[Outcome.APPLIED] for row in manifest["balance"]}
    if changed != {place: records for place, records in applied.items() if records}:
        raise RunError("the report does not balance: records applied and values changed")


def _check_findings(manifest: Mapping[str, Any], strata: list[Stratum]) -> None:
    """Raise `RunError` unless manifest and dataset agree on findings and on rejected records."""
    of_actor = _grouped(strata, lambda stratum: stratum.actor)
    if not of_actor.keys() <= {actor["id"] for actor in manifest["actors"]}:
        raise RunError("the report disagrees with the rejections: an actor that is not in the run")
    parts = [("the run", manifest["findings"], manifest["outcomes"], strata)]
    parts += [
        (f"actor {actor['id']}", actor["findings"], actor["outcomes"], of_actor.get(actor["id"], []))
        for actor in manifest["actors"]
    ]
    for what, said, outcomes, counted in parts:
        found = {str(code): counts.findings for code, counts in _by(counted, lambda stratum: stratum.code).items()}
        if {code: number for code, number in said.items() if number} != found:
            raise RunError(f"the report disagrees with the rejections: findings of {what}")
        if outcome_counts(outcomes)[Outcome.REJECTED] != _sum(counted).primary:
            raise RunError(f"the report disagrees with the rejections: rejected records of {what}")
