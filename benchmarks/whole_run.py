"""Whole nights: from the extracts to a committed store and a published report, both sides in turn."""

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import Measured
from benchmarks.sides import Afstem, Script, Side, told

_STEP = re.compile(r"step ([^:\n]+): ([\d.]+) s wall, ([\d.]+) s CPU")


@dataclass(frozen=True)
class Case:
    """One comparison: every side starts from the same state and takes in the same night."""

    name: str
    state: str
    workspace: Path
    reference: Path


def measure_case(case: Case, sides: Sequence[Side], rounds: int, *, must_agree: bool = True) -> dict[str, Any]:
    """A watched round for memory and for what each side says, then timed rounds, the sides in turn: A B A B.

    Where there are several sides, each is woken before it is timed.
    """
    result: dict[str, Any] = {"name": case.name, "sides": {}}
    for side in sides:
        side.copy(case.state, "scratch")
        watched = side.run(case.workspace, case.reference, "scratch", watched=True)
        result["sides"][side.name] = {
            "wall": [],
            "cpu": [],
            "largest": watched.largest,
            "together": watched.together,
            "told": told(watched),
        }
        tell(case.name, side.name, watched)
    result["same"] = _same_counts(result) and _same_contacts(sides)
    if must_agree and not result["same"]:
        raise AssertionError(f"{case.name}: the sides disagree: {result}")
    for _ in range(rounds):
        for side in sides:
            side.copy(case.state, "scratch")
            if len(sides) > 1:
                side.wake(case.workspace, "scratch")
            timed = side.run(case.workspace, case.reference, "scratch")
            result["sides"][side.name]["wall"].append(timed.wall)
            result["sides"][side.name]["cpu"].append(timed.cpu)
            if steps := steps_of(timed):
                result["sides"][side.name]["steps"] = steps
            tell(case.name, side.name, timed)
    return result


def steps_of(measured: Measured) -> list[dict[str, Any]]:
    """What the program says of its steps under ``-v``, in their order; nothing if it does not."""
    return [
        {"step": name, "wall": float(wall), "cpu": float(cpu)} for name, wall, cpu in _STEP.findall(measured.stderr)
    ]


def tell(*words: object) -> None:
    """Progress, so that nobody thinks it hangs."""
    shown = [_taken(word) if isinstance(word, Measured) else word for word in words]
    print(*shown, sep=": ", flush=True)


def _taken(measured: Measured) -> str:
    return f"{measured.wall:.2f} s wall, {measured.cpu:.2f} s CPU, {measured.largest / 1e6:.0f} MB"


def _same_counts(result: dict[str, Any]) -> bool:
    first, *others = [side["told"] for side in result["sides"].values()]
    return all(other == first for other in others)


def _same_contacts(sides: Sequence[Side]) -> bool:
    """Both stores hold the same contacts, value and actor. Times differ where no ``registreret`` was given."""
    files = [side.database("scratch") for side in sides if isinstance(side, Afstem | Script)]
    if len(files) < 2 or not all(file.is_file() for file in files):
        return True
    with sqlite3.connect(files[0]) as connection:
        connection.execute("ATTACH ? AS other", (str(files[1]),))
        columns = "personnummer, contact_type, value, actor"
        query = (
            f"SELECT count(*) FROM (SELECT {columns} FROM main.contacts EXCEPT SELECT {columns} FROM other.contacts)"
        )
        counted = "SELECT (SELECT count(*) FROM main.contacts) - (SELECT count(*) FROM other.contacts)"
        return not (connection.execute(query).fetchone()[0] or connection.execute(counted).fetchone()[0])
