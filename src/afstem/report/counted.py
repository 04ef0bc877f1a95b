"""What the rejections dataset says, counted: how often each actor broke each rule for which reason, and examples of it.

The dataset is read batch by batch, and only counts and a few examples are kept: as many as there are actors times codes
times reasons, never as many as there are rejections.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from afstem.masking import display_value
from afstem.report import sampling
from afstem.report.texts import whose_move
from afstem.rules import RULES, WhoseMove
from afstem.sorted_numbers import contains

FINDINGS_AT_ONCE = 131_072
"""So many are read before they are counted."""

_READ = ["actor", "extract", "extract_id", "record_no", "cpr_masked", "contact_type", "value", "is_primary", "reason"]
"""What the pages need of the rejections dataset besides the code; neither token nor reference."""

_FOLLOW = pa.array([rule.code for rule in RULES if rule.follows_from], pa.int32())
"""What is never to be mended by itself, where it is not the primary finding of a record."""

_COUNTED = ["findings", "primary", "extracts", "mendable"]

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


@dataclass(frozen=True)
class Counts:
    """How often something was found: ``primary`` counts records it rejected, ``extracts`` whole extracts.

    ``mendable`` are the records that have no other finding, or only such as follow from it (`Rule.follows_from`):
    mended, they would be accepted. None is of a code that is nobody's move.
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


def read_findings(rejections: Path, run_id: str) -> tuple[list[Stratum], pa.Table | None]:
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


def _batches(rejections: Path, columns: list[str]) -> Iterator[pa.Table]:
    for path in sorted(rejections.glob("code=*/*.parquet")):
        code = pa.scalar(int(path.parent.name.removeprefix("code=")), pa.int32())
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(FINDINGS_AT_ONCE, columns=columns):
                yield pa.Table.from_batches([batch]).append_column("code", pa.repeat(code, len(batch)))


def _counts(code: int, *counts: int) -> Counts:
    """The counts of a code, in the order of `_COUNTED`; what is nobody's move is mended by nothing."""
    counted = Counts(*counts)
    return replace(counted, mendable=0) if whose_move(code) == WhoseMove.NOBODY else counted


def _several(rejections: Path) -> dict[str, sampling.Ints]:
    """By extract, the sorted numbers of the records that have more than one thing to mend: each has a finding that is
    not primary, and these are few."""
    numbers: dict[str, list[sampling.Ints]] = {}
    for findings in _batches(rejections, ["extract_id", "record_no", "is_primary"]):
        # A rule stands behind the one it follows from, and in a record without that one it is primary.
        is_no_more = pc.or_(findings["is_primary"], pc.is_in(findings["code"], _FOLLOW))
        for extract_id, further in _by_extract(findings.filter(pc.invert(is_no_more))):
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


def _mendable(findings: pa.Table, several: Mapping[str, sampling.Ints]) -> pa.Array:
    """Whether each finding is the one that its record needs mended."""
    alone = []
    for extract_id, of_extract in _by_extract(findings):
        record_no = pc.fill_null(of_extract["record_no"], 0).to_numpy()
        others = several.get(extract_id)
        alone.append(np.ones(len(record_no), bool) if others is None else ~contains(others, record_no))
    of_record = pc.and_(findings["is_primary"], pc.is_valid(findings["record_no"]))
    return pc.and_(pa.array(np.concatenate(alone) if alone else np.empty(0, bool)), of_record)


def _tally(findings: pa.Table, several: Mapping[str, sampling.Ints]) -> pa.Table:
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


def samples_by(kept: pa.Table | None, group: str, size: int) -> dict[Any, tuple[Sample, ...]]:
    """The examples of every code, or of every actor."""
    if kept is None:
        return {}
    samples: dict[Any, list[Sample]] = {}
    for row in _rows(sampling.spread(kept, group, size).select([field.name for field in fields(Sample)])):
        sample = Sample(*row)
        shown = sample if sample.value is None else replace(sample, value=display_value(sample.value))
        samples.setdefault(getattr(sample, group), []).append(shown)
    return {key: tuple(of_key) for key, of_key in samples.items()}


def sum_counts(strata: Iterable[Stratum]) -> Counts:
    counts = [stratum.counts for stratum in strata]
    return Counts(
        findings=sum(count.findings for count in counts),
        primary=sum(count.primary for count in counts),
        extracts=sum(count.extracts for count in counts),
        mendable=sum(count.mendable for count in counts),
    )


def counts_by(strata: Iterable[Stratum], key: Callable[[Stratum], Key]) -> dict[Key, Counts]:
    """Counts per key, most findings first."""
    sums = {name: sum_counts(of_key) for name, of_key in grouped(strata, key).items()}
    return dict(sorted(sums.items(), key=lambda item: (-item[1].findings, item[0])))


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
