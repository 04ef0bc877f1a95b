"""The geometry of the charts; templates draw it as SVG, with the numbers as a table beside it.

No library: the quickest one that makes SVG without a browser (vl-convert, 84 MB installed) takes 0.55 s of CPU and 3 s
by the clock for the first chart of a process, as much as all of the report of twenty actors. Two kinds of charts are
needed, and both are rectangles or one line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10

from afstem.report.nights import Night
from afstem.rules import RULE_OF_CODE, Family

OTHER = "other"
"""In place of the family of an unknown code."""

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 480, 190, 52, 20, 8
TICKS = 4

SPARK_WIDTH, SPARK_HEIGHT = 100, 20


@dataclass(frozen=True)
class Bar:
    """One part of a column: its family and where it stands."""

    family: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Columns:
    """Findings a night, stacked by family; ``rows`` are the same numbers, ``ticks`` heights by number."""

    families: tuple[str, ...]
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, int], ...]
    days: tuple[tuple[float, Night], ...]
    rows: tuple[tuple[Night, Mapping[str, int]], ...]


def family_of(code: int) -> str:
    rule = RULE_OF_CODE.get(code)
    return rule.family if rule else OTHER


def stacked_columns(nights: Sequence[Night]) -> Columns:
    """The findings of the nights by family; every Monday gets a label."""
    rows = [(night, _by_family(night)) for night in nights]
    others = [OTHER] if any(OTHER in row for _, row in rows) else []
    return _columns(rows, (*Family, *others))


def columns_of_code(nights: Sequence[Night], code: int) -> Columns:
    """The same for the findings of one code."""
    return _columns([(night, {family_of(code): night.findings(code)}) for night in nights], (family_of(code),))


def _columns(rows: Sequence[tuple[Night, Mapping[str, int]]], families: tuple[str, ...]) -> Columns:
    highest = max((sum(row.values()) for _, row in rows), default=0)
    step = _step(highest)
    top = step * max(1, -(-highest // step))
    room, per_column = HEIGHT - BOTTOM - TOP, (WIDTH - LEFT) / max(len(rows), 1)
    wide = min(per_column, 24.0)
    bars = []
    for place, (_, row) in enumerate(rows):
        base = float(HEIGHT - BOTTOM)
        for name in families:
            if height := room * row.get(name, 0) / top:
                base -= height
                bars.append(Bar(name, LEFT + place * per_column, base, wide - 1, max(height - 0.5, 0.3)))
    return Columns(
        families=families,
        bars=tuple(bars),
        ticks=tuple((HEIGHT - BOTTOM - room * number / top, number) for number in range(0, top + 1, step)),
        days=tuple(
            (LEFT + place * per_column, night)
            for place, (night, _) in enumerate(rows)
            if night.day.weekday() == 0 or len(rows) == 1
        ),
        rows=tuple(rows),
    )


def spark(numbers: Sequence[int]) -> str:
    """The points of a line through the numbers, from left to right; the line lies on the ground where all are 0."""
    highest = max(numbers, default=0) or 1
    per_number = SPARK_WIDTH / max(len(numbers) - 1, 1)
    return " ".join(
        f"{place * per_number:.0f},{SPARK_HEIGHT - 1 - (SPARK_HEIGHT - 2) * number / highest:.0f}"
        for place, number in enumerate(numbers)
    )


def _by_family(night: Night) -> dict[str, int]:
    counts: dict[str, int] = {}
    for actor in night.actors.values():
        for code, number in actor.findings.items():
            name = family_of(code)
            counts[name] = counts.get(name, 0) + number
    return counts


def _step(highest: int) -> int:
    """A round number of which about `TICKS` reach the highest."""
    if highest <= TICKS:
        return 1
    power = 10 ** int(log10(highest / TICKS))
    return next(step for step in (power, 2 * power, 5 * power, 10 * power) if step * TICKS >= highest)
