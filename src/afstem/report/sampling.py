"""Which findings are shown as examples: few, spread over actors and reasons, the same ones every time.

The first findings of a run would all be of one actor, and a random choice would change the page when it is made
again. So every finding gets a number from a stable hash of where it stands, and each stratum (code, actor, reason)
keeps its lowest few: the sample does not depend on the order or the size of the batches it is chosen from.
"""

from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

STRATUM = ["code", "actor", "reason"]
KEPT_PER_STRATUM = 10

Ints = npt.NDArray[np.int64]
Lots = npt.NDArray[np.uint64]


def draw(findings: pa.Table, run_id: str) -> Lots:
    """The lot of each finding, from run, extract, record and code; columns ``extract_id, record_no, code``.

    Within an extract no two are the same, for each step maps different numbers to different ones; across extracts two
    would have to meet in 64 bits.
    """
    extracts = findings["extract_id"].combine_chunks().dictionary_encode()
    seeds = np.array(
        [
            int.from_bytes(blake2b(f"{run_id}/{name}".encode(), digest_size=8).digest(), "big")
            for name in extracts.dictionary.to_pylist()
        ],
        dtype=np.uint64,
    )
    record_no = pc.fill_null(findings["record_no"], 0).to_numpy().astype(np.uint64)
    code = findings["code"].to_numpy().astype(np.uint64)
    return _mix(_mix(seeds[extracts.indices.to_numpy()] ^ record_no) ^ code)


def _mix(lots: Lots) -> Lots:
    # The finaliser of SplitMix64 (Steele, Lea, Flood 2014): the same answer in every version of every library.
    lots = (lots ^ (lots >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    lots = (lots ^ (lots >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return lots ^ (lots >> np.uint64(31))


def lowest(findings: pa.Table) -> pa.Table:
    """The lowest lots of every stratum; applied to a part and to the parts' results it answers the same."""
    ordered = np.argsort(findings["lot"].to_numpy())
    turn = _turn(_groups(findings, STRATUM)[ordered])
    return findings.take(ordered[turn < KEPT_PER_STRATUM])


def spread(kept: pa.Table, group: str, size: int) -> pa.Table:
    """At most ``size`` of the kept findings of every code or actor: one of each stratum before any second."""
    ordered = np.argsort(kept["lot"].to_numpy())
    turn = _turn(_groups(kept, STRATUM)[ordered])
    by_turn = ordered[np.argsort(turn, kind="stable")]
    chosen = by_turn[_turn(_groups(kept, [group])[by_turn]) < size]
    return kept.take(chosen).sort_by([(name, "ascending") for name in (*STRATUM, "lot")])


def first_of_each(rows: pa.Table, group: str, size: int) -> pa.Table:
    """At most ``size`` rows: the first of every group before the second of any, in the order in which they stand."""
    chosen = np.argsort(_turn(_groups(rows, [group])), kind="stable")[:size]
    return rows.take(np.sort(chosen))


def _groups(findings: pa.Table, names: list[str]) -> Ints:
    """A number for each finding, the same for two of them if the columns agree."""
    groups = np.zeros(len(findings), np.int64)
    for name in names:
        column = findings[name].combine_chunks().dictionary_encode("encode")
        groups = groups * len(column.dictionary) + column.indices.to_numpy()
    return groups


def _turn(groups: Ints) -> Ints:
    """How many of the same group stand before each."""
    together = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[together], prepend=-1))
    sizes = np.diff(starts, append=len(groups))
    turn = np.empty(len(groups), np.int64)
    turn[together] = np.arange(len(groups)) - np.repeat(starts, sizes)
    return turn
