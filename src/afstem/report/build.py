"""From a run's manifest and its rejections dataset to what the pages show.

`ReportData` is as large as actors times codes times reasons, never as large as the rejections: the dataset is read
batch by batch and only counts and a few examples are kept. Every number that can be counted twice is (manifest and
dataset), and a difference stops the run: a report that disagrees with itself is worse than none.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from afstem.errors import RunError
from afstem.finding_memory import Mending, SinceLast, days_between
from afstem.hold import Excess
from afstem.masking import display_value
from afstem.report import sampling
from afstem.report.do_first import ToDo, Why, choose, why_findings
from afstem.report.nights import NO_LEVELS, SHOWN, ActorNight, Levels, Night, usual_levels
from afstem.report.notices import NoticeReport, report_notices
from afstem.report.texts import whose_move
from afstem.report.trust import Check, Verdict, minutes_left, verdict
from afstem.rules import RULE_OF_CODE, WhoseMove
from afstem.schema import Change, Outcome
from afstem.sorted_numbers import contains

SAMPLES_PER_CODE = 50
SAMPLES_PER_ACTOR = 50

_READ = ["actor", "extract", "extract_id", "record_no", "cpr_masked", "contact_type", "value", "is_primary", "reason"]
"""What the pages need of the rejections dataset besides the code; neither token nor reference."""

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")

_COUNTED = ["findings", "primary", "extracts", "mendable"]


@dataclass(frozen=True)
class Counts:
    """How often something was found: ``primary`` counts records it rejected, ``extracts`` whole extracts.

    ``mendable`` are the records that have no other finding: mended, they would be accepted. None is of a code that is
    nobody's move.
    """

    findings: int = 0
    primary: int = 0
    extracts: int = 0
    mendable: int = 0


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
    def is_news(self) -> bool:
        """Whether it is a file that was not applied before; a login that was refused is none."""
        return bool(self.file) and self.state != "already-applied"

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
    mending: Mending | None
    since_last: SinceLast | None

    @property
    def came(self) -> bool:
        """Whether it brought a file that was not applied before."""
        return any(extract.is_news for extract in self.extracts)


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
    notices: Mapping[str, NoticeReport]
    actors: Mapping[str, ActorReport]
    extracts: tuple[Extract, ...]
    do_first: tuple[ToDo, ...]
    checks: tuple[Check, ...]
    levels: Levels
    nights: tuple[Night, ...]
    deadline: str | None

    """``nights`` end with this one; its charts begin with the first of them."""

    @property
    def verdict(self) -> Verdict:
        return verdict(self.checks)

    @property
    def night(self) -> Night:
        """What this run leaves for the reports of the nights to come."""
        return self.nights[-1]

    def why(self, actor: str, code: int) -> Why:
        """How the findings of an actor and code compare with the actor's own level."""
        counts = self.actors[actor].codes.get(code)
        return why_findings(counts.findings if counts else 0, self.levels.of_actor.get((actor, code)))

    @property
    def above(self) -> tuple[str, ...]:
        """The actors that are above their own level with any code."""
        return tuple(
            actor.id
            for actor in self.actors.values()
            if any(not self.why(actor.id, code).is_ordinary for code in actor.codes)
        )

    @property
    def since_last(self) -> SinceLast | None:
        """What became of the records that were rejected before, of all actors; None where nothing was read."""
        every = [actor.since_last for actor in self.actors.values() if actor.since_last]
        if not every:
            return None
        return SinceLast(**{field.name: sum(getattr(one, field.name) for one in every) for field in fields(SinceLast)})

    def _mending(self) -> list[Mending]:
        return [actor.mending for actor in self.actors.values() if actor.mending]

    @property
    def oldest(self) -> tuple[int, int] | None:
        """For how many days the oldest finding has been raised, and its code."""
        raised = [(one.oldest_run, one.oldest_code) for one in self._mending() if one.oldest_run and one.oldest_code]
        return (days_between(min(raised)[0], self.run_id), min(raised)[1]) if raised else None

    def age(self, run_id: str) -> int:
        """The days from an earlier run to this one."""
        return days_between(run_id, self.run_id)

    @property
    def started_on(self) -> date:
        """The day on which the run started, where it runs."""
        return self.started_at.astimezone(ZoneInfo(self.timezone)).date()


def build_report(
    manifest: Mapping[str, Any],
    rejections: Path,
    notices: Path,
    past: Sequence[Night] = (),
    mending: Mapping[str, Mending] | None = None,
    deadline: str | None = None,
    since_last: Mapping[str, SinceLast] | None = None,
) -> ReportData:
    """What the pages of a run show; ``rejections`` and ``notices`` are the folders of its datasets, ``past`` the nights
    before, the newest first, ``mending`` how each actor mends, ``since_last`` what became of what was rejected before.

    Raises `RunError` where the manifest disagrees with itself or with the datasets.
    """
    strata, kept = _read_findings(rejections, manifest["run_id"])
    _check_balance(manifest)
    _check_findings(manifest, strata)
    extracts = tuple(_extract(place, entry) for place, entry in enumerate(manifest["extracts"], 1))
    actors = _actor_reports(manifest, extracts, strata, kept, mending or {}, since_last or {})
    codes = _code_reports(rejections, strata, kept)
    data = ReportData(
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
        codes=codes,
        notices=report_notices(manifest, notices),
        actors=actors,
        extracts=extracts,
        do_first=(),
        checks=(),
        levels=NO_LEVELS,
        nights=(),
        deadline=deadline,
    )
    night = Night(data.run_id, data.started_on, {actor.id: _actor_night(actor) for actor in actors.values()})
    data = replace(
        data,
        levels=usual_levels(past, data.started_on, codes),
        nights=(*reversed([earlier for earlier in past if _is_shown(earlier, night)][: SHOWN - 1]), night),
    )
    came_today = {actor for earlier in past if earlier.day == night.day for actor in _who_came(earlier)}
    missing = data.levels.expected & actors.keys() - came_today - _who_came(night)
    return replace(data, do_first=choose(_todos(data, missing)), checks=tuple(_checks(data, sorted(missing))))


def _is_shown(earlier: Night, night: Night) -> bool:
    return earlier.day > night.day - timedelta(days=2 * SHOWN)


def _who_came(night: Night) -> set[str]:
    return {actor for actor, numbers in night.actors.items() if numbers.came}


def _actor_night(actor: ActorReport) -> ActorNight:
    numbers = ActorNight(
        came=actor.came,
        records=actor.records,
        rejected=actor.outcomes[Outcome.REJECTED],
        findings={code: counts.findings for code, counts in actor.codes.items()},
    )
    if actor.mending is None:
        return numbers
    return replace(numbers, new=actor.mending.new, recurring=actor.mending.recurring, resolved=actor.mending.resolved)


def outcome_counts(counts: Mapping[str, int]) -> dict[Outcome, int]:
    """Counts by outcome with every outcome present; an extract that was not read may leave them out."""
    return {outcome: int(counts.get(outcome.value, 0)) for outcome in Outcome}


# --- the dataset ----------------------------------------------------------------------------------------------------


FINDINGS_AT_ONCE = 131_072


def _batches(rejections: Path, columns: list[str]) -> Iterator[pa.Table]:
    for path in sorted(rejections.glob("code=*/*.parquet")):
        code = pa.scalar(int(path.parent.name.removeprefix("code=")), pa.int32())
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(FINDINGS_AT_ONCE, columns=columns):
                yield pa.Table.from_batches([batch]).append_column("code", pa.repeat(code, len(batch)))


def _read_findings(rejections: Path, run_id: str) -> tuple[list[Stratum], pa.Table | None]:
    """Counts per stratum, and the findings that may become examples (None without any)."""
    tallies: list[pa.Table] = []
    kept: pa.Table | None = None
    several = _several(rejections)
    for findings in _batches(rejections, _READ):
        tallies.append(_tally(findings, several))
        chosen = sampling.lowest(findings.append_column("lot", pa.array(sampling.draw(findings, run_id))))
        kept = chosen if kept is None else sampling.lowest(pa.concat_tables([kept, chosen]))
    if kept is None:
        return [], None
    total = pa.concat_tables(tallies).group_by(sampling.STRATUM, use_threads=False)
    rows = total.aggregate([(name, "sum") for name in _COUNTED])
    strata = [Stratum(code, actor, reason, _counts(code, *counts)) for code, actor, reason, *counts in _rows(rows)]
    return strata, kept


def _counts(code: int, *counts: int) -> Counts:
    """The counts of a code, in the order of `_COUNTED`; what is nobody's move is mended by nothing."""
    counted = Counts(*counts)
    return replace(counted, mendable=0) if whose_move(code) == WhoseMove.NOBODY else counted


_Ints = npt.NDArray[np.int64]


def _several(rejections: Path) -> dict[str, _Ints]:
    """By extract, the sorted numbers of the records that have more than one finding: each has one that is not primary,
    and these are few."""
    numbers: dict[str, list[_Ints]] = {}
    for findings in _batches(rejections, ["extract_id", "record_no", "is_primary"]):
        for extract_id, further in _by_extract(findings.filter(pc.invert(findings["is_primary"]))):
            numbers.setdefault(extract_id, []).append(further["record_no"].to_numpy())
    return {extract_id: np.unique(np.concatenate(parts)) for extract_id, parts in numbers.items()}


def _by_extract(findings: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The stretches of findings that are of one extract; of one code, its findings stand together."""
    ids = findings["extract_id"].combine_chunks()
    begin = 0
    for values, length in zip(*(part.to_pylist() for part in _run_lengths(ids)), strict=True):
        yield values, findings.slice(begin, length)
        begin += length


def _run_lengths(ids: pa.Array) -> tuple[pa.Array, pa.Array]:
    runs = pc.run_end_encode(ids)
    ends = runs.run_ends.to_numpy()
    return runs.values, pa.array(np.diff(ends, prepend=0))


def _mendable(findings: pa.Table, several: Mapping[str, _Ints]) -> pa.Array:
    """Whether each finding is the only one of its record."""
    alone = []
    for extract_id, of_extract in _by_extract(findings):
        record_no = pc.fill_null(of_extract["record_no"], 0).to_numpy()
        others = several.get(extract_id)
        alone.append(np.ones(len(record_no), bool) if others is None else ~contains(others, record_no))
    return pc.and_(pa.array(np.concatenate(alone) if alone else np.empty(0, bool)), pc.is_valid(findings["record_no"]))


def _tally(findings: pa.Table, several: Mapping[str, _Ints]) -> pa.Table:
    """Counts per stratum of one batch."""
    whole = pc.is_null(findings["record_no"])
    counted = findings.select(sampling.STRATUM)
    for name, counts in (
        ("findings", pa.repeat(True, len(findings))),
        ("primary", pc.and_not(findings["is_primary"], whole)),
        ("extracts", whole),
        ("mendable", _mendable(findings, several)),
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
        mendable=sum(count.mendable for count in counts),
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


def _todos(data: ReportData, missing: Iterable[str]) -> Iterator[ToDo]:
    """Everything that one contact to one actor could mend."""
    for actor in data.actors.values():
        usual = data.levels.records.get(actor.id)
        expected = None if usual is None else max(0, round(usual.usual) - actor.records) or None
        if actor.delivery == "unavailable":
            yield ToDo(actor.id, Why.UNAVAILABLE, expected, 0, reason=actor.reason, level=usual)
        elif actor.id in missing:
            yield ToDo(actor.id, Why.SILENT, expected, 0, level=usual)
        held = [extract for extract in actor.extracts if extract.state == "held"]
        if held:
            yield ToDo(actor.id, Why.HELD, actor.outcomes[Outcome.HELD] or None, len(held))
        for code, counts in actor.codes.items():
            of_code = {reason: number for (key, reason), number in actor.reasons.items() if key == code}
            if counts.extracts:
                reason = max(of_code, key=lambda slug: of_code[slug].extracts)
                yield ToDo(actor.id, Why.REFUSED, expected, counts.extracts, code, reason, usual)
            findings = counts.findings - counts.extracts
            if findings:
                level = data.levels.of_actor.get((actor.id, code))
                reason = max(of_code, key=lambda slug: of_code[slug].mendable)
                yield ToDo(actor.id, why_findings(findings, level), counts.mendable, findings, code, reason, level)


def _checks(data: ReportData, missing: Sequence[str]) -> Iterator[Check]:
    """What was checked, in the order in which the report tells it."""
    yield Check("balance", True, {"records": data.records})
    yield Check("findings", True, {"findings": data.counts.findings})
    if not data.dry_run:
        yield Check("store", True, {"applied": data.outcomes[Outcome.APPLIED]})
    states = [extract.state for extract in data.extracts]
    nothing_read = not any(state in ("applied", "held", "already-applied") for state in states)
    if data.actors and nothing_read:
        yield Check("nothing_read", False, is_vital=True)
    silent = [actor.id for actor in data.actors.values() if actor.delivery == "nothing"]
    delivered = sum(actor.delivery == "delivered" for actor in data.actors.values())
    counted = {"actors": len(data.actors), "actors_delivered": delivered}
    if data.levels.expected:
        yield Check("expected", not missing, {"missing": len(missing)} | counted, tuple(missing))
    else:
        yield Check("delivered", not silent, counted, tuple(silent))
    unavailable = [actor.id for actor in data.actors.values() if actor.delivery == "unavailable"]
    if unavailable:
        yield Check("unavailable", False, {"actors_unavailable": len(unavailable)}, tuple(unavailable))
    for state in ("refused", "held"):
        if number := states.count(state):
            actors = dict.fromkeys(extract.actor for extract in data.extracts if extract.state == state)
            yield Check(state, False, {f"extracts_{state}": number}, tuple(actors))
    if data.deadline is not None:
        minutes = minutes_left(data.started_at, data.finished_at, data.deadline, data.timezone)
        yield Check("deadline" if minutes >= 0 else "late", minutes >= 0, {"minutes": abs(minutes)})


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
    manifest: Mapping[str, Any],
    extracts: Sequence[Extract],
    strata: list[Stratum],
    kept: pa.Table | None,
    mending: Mapping[str, Mending],
    since_last: Mapping[str, SinceLast],
) -> dict[str, ActorReport]:
    of_actor = _grouped(strata, lambda stratum: stratum.actor)
    balance = _grouped(manifest["balance"], itemgetter("actor"))
    extracts_of = _grouped(extracts, lambda extract: extract.actor)
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
            extracts=tuple(extracts_of.get(actor["id"], ())),
            counts=_sum(of_actor.get(actor["id"], [])),
            codes=_by(of_actor.get(actor["id"], []), lambda stratum: stratum.code),
            reasons=_by(of_actor.get(actor["id"], []), lambda stratum: (stratum.code, stratum.reason)),
            samples=samples.get(actor["id"], ()),
            mending=mending.get(actor["id"]),
            since_last=since_last.get(actor["id"]),
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
