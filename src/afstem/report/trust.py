"""Whether a run can be trusted: what is checked, and what the report says where a check fails.

Some checks stop a run before its report appears (`RunError`): of these a report can only say what was compared. The
others are about what came, and when; where one of them fails, the first line of the report says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo


class Verdict(StrEnum):
    """The answer to "can this run be trusted?"."""

    YES = "yes"
    RESERVATIONS = "reservations"
    NO = "no"


@dataclass(frozen=True)
class Check:
    """One thing that was checked; ``numbers`` fill its text, ``actors`` are those it fails for."""

    slug: str
    holds: bool
    numbers: Mapping[str, int] = field(default_factory=dict)
    actors: tuple[str, ...] = ()
    is_vital: bool = False

    """Where a vital check fails, the numbers of the run say nothing."""


def verdict(checks: Iterable[Check]) -> Verdict:
    failed = [check for check in checks if not check.holds]
    if any(check.is_vital for check in failed):
        return Verdict.NO
    return Verdict.RESERVATIONS if failed else Verdict.YES


def minutes_left(started_at: datetime, finished_at: datetime, deadline: str, timezone: str) -> int:
    """Whole minutes from the end of a run to its deadline, less than 0 where it is late.

    A run that starts before noon is for that morning, a later one for the next.
    """
    zone = ZoneInfo(timezone)
    started = started_at.astimezone(zone)
    morning = started.date() if started.time() < time(12) else started.date() + timedelta(days=1)
    due = datetime.combine(morning, time.fromisoformat(deadline), zone)
    return (due - finished_at) // timedelta(minutes=1)
