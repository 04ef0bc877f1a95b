"""Which findings are shown as examples: few, spread over actors and reasons, the same ones every time.

The first findings of a run would all be of one actor, and a random choice would change the page when it is made
again. So every finding gets a number from a stable hash of where it stands, and each stratum (code, actor, reason)
keeps its lowest few: the sample does not depend on the order or the size of the batches it is chosen from.
"""

from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pandas as pd

STRATUM = ["code", "actor", "reason"]
KEPT_PER_STRATUM = 10


def draw(findings: pd.DataFrame, run_id: str) -> npt.NDArray[np.uint64]:
    """The lot of each finding, from run, extract, record and code; columns ``extract_id, record_no, code``."""
    extracts, names = pd.factorize(findings["extract_id"])
    seeds = np.array(
        [int.from_bytes(blake2b(f"{run_id}/{name}".encode(), digest_size=8).digest(), "big") for name in names],
        dtype=np.uint64,
    )
    record_no = findings["record_no"].fillna(0).to_numpy(np.uint64)
    code = findings["code"].to_numpy(np.uint64)
    return _mix(_mix(seeds[extracts] ^ record_no) ^ code)


def _mix(lots: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    # The finaliser of SplitMix64 (Steele, Lea, Flood 2014): the same answer in every version of every library.
    lots = (lots ^ (lots >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    lots = (lots ^ (lots >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return lots ^ (lots >> np.uint64(31))


def lowest(findings: pd.DataFrame) -> pd.DataFrame:
    """The lowest lots of every stratum; applied to a part and to the parts' results it answers the same."""
    ordered = findings.sort_values(["lot", "extract_id", "record_no"], kind="stable")
    return ordered.groupby(STRATUM, sort=False, dropna=False).head(KEPT_PER_STRATUM)


def spread(kept: pd.DataFrame, group: str, size: int) -> pd.DataFrame:
    """At most ``size`` of the kept findings of every code or actor: one of each stratum before any second."""
    ordered = kept.sort_values(["lot", "extract_id", "record_no"], kind="stable")
    turn = ordered.groupby(STRATUM, sort=False, dropna=False).cumcount()
    by_turn = ordered.iloc[np.argsort(turn.to_numpy(), kind="stable")]
    return by_turn.groupby(group, sort=False).head(size).sort_values([*STRATUM, "lot"], kind="stable")
