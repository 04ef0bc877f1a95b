"""What a run's manifest tells of files and records, as the pages show it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from afstem.hold import Excess
from afstem.schema import Change, Outcome


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

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Changes":
        return cls(row["actor"], row["contact_type"], {change: row[change] for change in Change})


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

    @classmethod
    def of(cls, place: int, entry: Mapping[str, Any]) -> "Extract":
        return cls(
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

    @property
    def is_news(self) -> bool:
        """Whether it is a file that was not applied before; a login that was refused is none."""
        return bool(self.file) and self.state != "already-applied"

    @property
    def has_hold(self) -> bool:
        """Whether it is held, or was and is released now."""
        return self.state == "held" or self.released


def sum_balance(rows: Iterable[Mapping[str, Any]]) -> tuple[Balance, ...]:
    """Balance per contact type, in the order of the types, the unreadable ones last."""
    sums: dict[str | None, dict[str, int]] = {}
    for row in rows:
        counts = sums.setdefault(row["contact_type"], dict.fromkeys(("records", *Outcome), 0))
        for name in counts:
            counts[name] += row[name]
    order = ("mobile", "landline", "email", None)
    return tuple(Balance(kind, sums[kind]["records"], outcome_counts(sums[kind])) for kind in order if kind in sums)


def outcome_counts(counts: Mapping[str, int]) -> dict[Outcome, int]:
    """Counts by outcome with every outcome present; an extract that was not read may leave them out."""
    return {outcome: int(counts.get(outcome.value, 0)) for outcome in Outcome}
