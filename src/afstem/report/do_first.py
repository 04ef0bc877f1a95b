"""What to do first: the few contacts to actors that would mend most.

A line is one contact: to one actor, about one thing. It counts the records that would be accepted if that were mended:
of an error code those that have no other finding, of a held extract those that wait, of an extract that was not read
or did not come as many as are usual. What is out of the ordinary comes first, or the largest actors would stand on
top every morning.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from afstem.report.nights import Level

DO_FIRST = 8

ENOUGH = 20
"""Fewer findings are never out of the ordinary."""

TIMES = 3
"""So many times the actor's own level is out of the ordinary."""


class Why(StrEnum):
    """Why a line stands there."""

    REFUSED = "refused"
    HELD = "held"
    SILENT = "silent"
    UNAVAILABLE = "unavailable"
    NEW = "new"
    ABOVE = "above"
    USUAL = "usual"
    NO_LEVEL = "no_level"

    @property
    def is_ordinary(self) -> bool:
        return self in (Why.USUAL, Why.NO_LEVEL)


@dataclass(frozen=True)
class ToDo:
    """One contact to one actor.

    ``records`` would be accepted (None: nobody can tell), ``number`` are the findings, or the extracts. ``reason`` is
    the reason slug of most of them, ``level`` what is usual for the actor.
    """

    actor: str
    why: Why
    records: int | None
    number: int
    code: int | None = None
    reason: str | None = None
    level: Level | None = None


def why_findings(findings: int, level: Level | None) -> Why:
    """How the findings of an actor and code compare with its own level."""
    if level is None:
        return Why.NO_LEVEL
    if findings >= ENOUGH and findings >= TIMES * level.usual:
        return Why.NEW if level.most == 0 else Why.ABOVE
    return Why.USUAL


def choose(todos: Iterable[ToDo]) -> tuple[ToDo, ...]:
    """The lines to show: out of the ordinary first, then by the records that they would mend."""

    def rank(todo: ToDo) -> tuple[object, ...]:
        records = inf if todo.records is None else todo.records
        return (todo.why.is_ordinary, -records, -todo.number, todo.actor, todo.code or 0)

    return tuple(sorted((todo for todo in todos if todo.records != 0), key=rank)[:DO_FIRST])
