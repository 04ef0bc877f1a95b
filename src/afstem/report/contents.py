"""What the pages of one run show: `ReportData`.

It is as large as actors times codes times reasons, never as large as the rejections.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from zoneinfo import ZoneInfo

from afstem.finding_memory import Mending, SinceLast, days_between
from afstem.report.counted import Counts, Sample
from afstem.report.do_first import ToDo, Why, why_findings
from afstem.report.nights import Levels, Night
from afstem.report.notices import NoticeReport
from afstem.report.told import Balance, Changes, Extract
from afstem.report.trust import Check, Verdict, verdict
from afstem.schema import Outcome


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
    """They end with this one; its charts begin with the first of them."""
    deadline: str | None

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
