"""What a run leaves for the reports of the nights to come, and what is usual by what earlier ones left.

A few numbers an actor and code, in ``summary.json``: a report that read the manifests or the rejections of all nights
before it would take longer every night. What is usual is the actor's own level on the same weekday, the median of the
last nights on which something of it was read: on a Monday three days' corrections come in, and compared with a Sunday
every actor would stand out.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from afstem.private_files import read_json

log = logging.getLogger(__name__)

SUMMARY = "summary.json"

FEWEST, MOST = 4, 8
"""Nights of the same weekday that make a level: fewer say nothing, older ones say how it was."""

LOOK_BACK = timedelta(weeks=MOST)

SHOWN = 30
"""Nights in a chart, this one among them."""


@dataclass(frozen=True)
class ActorNight:
    """One actor in one run; ``records`` were read, ``findings`` are by code, the last three by `Mending`."""

    came: bool
    records: int
    rejected: int
    findings: Mapping[int, int]
    new: int = 0
    recurring: int = 0
    resolved: int = 0


@dataclass(frozen=True)
class Night:
    """One run in numbers; ``day`` is the day on which it started, where it runs."""

    run_id: str
    day: date
    actors: Mapping[str, ActorNight]

    def findings(self, code: int, actor: str | None = None) -> int:
        """Findings of one code: of all actors, or of one."""
        chosen = self.actors.values() if actor is None else [self.actors[actor]] if actor in self.actors else []
        return sum(night.findings.get(code, 0) for night in chosen)

    @property
    def rejected(self) -> int:
        return sum(night.rejected for night in self.actors.values())

    @property
    def says_something(self) -> bool:
        """Whether anything new came in it: a run over files that were applied before is no night."""
        return any(night.came for night in self.actors.values())


@dataclass(frozen=True)
class Level:
    """What is usual, and the least and the most of what it is the median of."""

    usual: float
    least: int
    most: int

    def is_left_by(self, number: int) -> bool:
        """Whether a number stands out: a quarter away from the usual, and outside everything that it was made of."""
        return abs(number - self.usual) >= 0.25 * self.usual and not self.least <= number <= self.most

    @classmethod
    def of(cls, numbers: Sequence[int]) -> "Level | None":
        return cls(median(numbers), min(numbers), max(numbers)) if len(numbers) >= FEWEST else None


@dataclass(frozen=True)
class Levels:
    """What is usual on the weekday of a run; what is not in here has no usual level yet."""

    rejected: Level | None
    of_code: Mapping[int, Level]
    of_actor: Mapping[tuple[str, int], Level]
    records: Mapping[str, Level]
    expected: frozenset[str]

    """``expected`` are the actors of which something came on at least three of four such nights."""


NO_LEVELS = Levels(None, {}, {}, {}, frozenset())


def usual_levels(nights: Iterable[Night], day: date, codes: Iterable[int]) -> Levels:
    """What is usual on the weekday of a day, by nights before it, the newest first."""
    alike = [night for night in nights if night.day.weekday() == day.weekday() and night.day < day][:MOST]
    if len(alike) < FEWEST:
        return NO_LEVELS
    seen: dict[str, list[ActorNight]] = {}
    known: dict[str, int] = {}
    for night in alike:
        for actor, numbers in night.actors.items():
            known[actor] = known.get(actor, 0) + 1
            if numbers.came:
                seen.setdefault(actor, []).append(numbers)
    levels = {code: Level.of([night.findings(code) for night in alike]) for code in codes}
    return Levels(
        rejected=Level.of([night.rejected for night in alike]),
        of_code={code: level for code, level in levels.items() if level},
        of_actor={
            (actor, code): level
            for actor, nights_of_actor in seen.items()
            for code in codes
            if (level := Level.of([night.findings.get(code, 0) for night in nights_of_actor]))
        },
        records={
            actor: level
            for actor, nights_of_actor in seen.items()
            if (level := Level.of([night.records for night in nights_of_actor]))
        },
        expected=frozenset(
            actor for actor, times in known.items() if times >= FEWEST and 4 * len(seen.get(actor, [])) >= 3 * times
        ),
    )


# --- kept beside the report -------------------------------------------------------------------------------------------


def write_night(folder: Path, night: Night) -> None:
    content = {
        "format": 1,
        "run_id": night.run_id,
        "day": night.day.isoformat(),
        "actors": {
            actor: [
                int(numbers.came),
                numbers.records,
                numbers.rejected,
                {str(code): count for code, count in numbers.findings.items()},
                numbers.new,
                numbers.recurring,
                numbers.resolved,
            ]
            for actor, numbers in night.actors.items()
        },
    }
    (folder / SUMMARY).write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


def read_nights(reports: Path, run_id: str, timezone: str) -> list[Night]:
    """The nights that a report of this run looks back on, the newest first; dry runs leave none.

    Those in which nothing new came, and those whose summary is missing or damaged, are left out.
    """
    nights = []
    oldest = day_of(run_id, timezone) - LOOK_BACK
    for name in sorted((path.name for path in reports.glob("[0-9]*T*Z-*")), reverse=True):
        if name >= run_id:
            continue
        if day_of(name, timezone) < oldest:
            break
        if night := _read_night(reports / name / SUMMARY):
            nights.append(night)
    return nights


def day_of(run_id: str, timezone: str) -> date:
    """The day on which a run started, by the time that its id begins with."""
    started_at = datetime.strptime(run_id.partition("-")[0], "%Y%m%dT%H%M%S%z")
    return started_at.astimezone(ZoneInfo(timezone)).date()


def _read_night(path: Path) -> Night | None:
    try:
        content: Mapping[str, Any] = read_json(path)
        night = Night(
            content["run_id"],
            date.fromisoformat(content["day"]),
            {
                actor: ActorNight(
                    bool(came), records, rejected, {int(code): count for code, count in findings.items()}, *mending
                )
                for actor, (came, records, rejected, findings, *mending) in content["actors"].items()
            },
        )
    except FileNotFoundError:
        return None  # a dry run, or a run of before there were summaries
    except (ValueError, KeyError, TypeError, AttributeError):
        log.warning("%s is damaged; what is usual is told without it", path)
        return None
    return night if night.says_something else None
