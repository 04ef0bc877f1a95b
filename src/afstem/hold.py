"""Hold: an extract that looks like a mistake changes nothing until somebody says so (SPEC 5.4).

An actor whose export lost a column, or half of its citizens, delivers records that are valid one by one. What gives it
away is a share of the whole extract; so three shares are compared with their limits, and one that is above holds it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Limits(Protocol):
    """``[hold]`` of ``afstem.toml``: shares from 0 to 1, for extracts of at least ``min_records`` records."""

    @property
    def min_records(self) -> int: ...
    @property
    def removal_share(self) -> float: ...
    @property
    def rejected_share(self) -> float: ...
    @property
    def volume_drop(self) -> float: ...


class HoldReason(StrEnum):
    """What an extract has too much of."""

    REMOVALS = "removals"
    REJECTED = "rejected"
    VOLUME_DROP = "volume-drop"


@dataclass(frozen=True)
class Excess:
    """A share above its limit: ``part`` of ``whole`` records.

    Of `HoldReason.VOLUME_DROP` the whole is the extract that it is compared with, the part what it has fewer.
    """

    reason: str
    part: int
    whole: int
    limit: float


def reasons_to_hold(
    records: int, removals: int, rejected: int, last_applied: int | None, limits: Limits
) -> tuple[Excess, ...]:
    """Why an extract is held; empty where it is not.

    ``removals`` are the records that ask for one, whatever the verdict on them. ``last_applied`` is how many records
    the extract has that it is compared with, None without one.
    """
    if records < limits.min_records:
        return ()
    # SPEC's records < (1 - volume_drop) x last, written as a share like the others: a quotient of two counts equals a
    # limit of some decimals exactly when it should, while 0.9 x 110 is more than 99.
    shares = [
        Excess(HoldReason.REMOVALS, removals, records, limits.removal_share),
        Excess(HoldReason.REJECTED, rejected, records, limits.rejected_share),
        Excess(HoldReason.VOLUME_DROP, (last_applied or 0) - records, last_applied or 0, limits.volume_drop),
    ]
    return tuple(share for share in shares if share.whole and share.part / share.whole > share.limit)
