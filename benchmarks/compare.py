"""Two commits of the program beside each other: ``python -m benchmarks.compare A B``.

Each is checked out into a folder of its own and run by the Python that runs this, so both meet the same libraries. The
data are written once, by the program that is installed here; each commit loads them into a store of its own.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from benchmarks.judge import AFSTEM
from benchmarks.machine import circumstances
from benchmarks.measure import measure, median
from benchmarks.nightly import SECOND, THIRD, prepare
from benchmarks.nights import NIGHT, Nights, Program, Size, scaled
from benchmarks.results import table
from benchmarks.sides import Afstem
from benchmarks.start_up import measure_start_up
from benchmarks.validation import records_of
from benchmarks.whole_run import Case, measure_case

ROOT = Path(__file__).parents[1]

Row = tuple[str, float, float, str]
"""What is measured, A's number, B's, and how a number is written."""


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--records", type=click.IntRange(1000), default=200_000, show_default=True, help="Records of the night.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Timed runs of each commit.")
@click.option("--data", type=click.Path(path_type=Path), default=Path("var/bench"), show_default=True)
def compare(a: str, b: str, records: int, rounds: int, data: Path) -> None:
    """Measure the commits A and B in turn on the same data, and print B's numbers as a share of A's."""
    nights = Nights(data.resolve() / "nights")
    size = scaled(NIGHT, records)
    with (
        _checked_out(a) as one,
        _checked_out(b) as other,
        tempfile.TemporaryDirectory(prefix="afstem-compare-") as stores,
    ):
        programs = [Program(one / "src"), Program(other / "src")]
        sides = [
            Afstem(Path(stores) / letter, program, name=letter) for letter, program in zip("AB", programs, strict=True)
        ]
        rows = [
            *_start_up(programs),
            *_validation(records_of(nights, size), programs, Path(stores), rounds),
            *_nights(nights, size, sides, rounds),
        ]
    on = circumstances()
    print(
        f"\n{records:,} records; {on['measured_at']}, load now {on['load'][0]}, {on['cores']} cores {on['processor']}\n"
    )
    print(
        table(
            ["", f"A: {a}", f"B: {b}", "B / A"],
            [[name, form.format(was), form.format(now), f"{now / was:.2f}"] for name, was, now, form in rows],
        )
    )


@contextlib.contextmanager
def _checked_out(revision: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="afstem-commit-") as folder:
        target = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(target), revision], check=True)
        try:
            yield target
        finally:
            subprocess.run([*git, "remove", "--force", str(target)], check=True)


def _start_up(programs: Sequence[Program]) -> Iterator[Row]:
    was, now = measure_start_up(programs)
    for name in was:
        if name.startswith("afstem"):
            yield name, median(was[name]), median(now[name]), "{:.3f} s"


def _validation(records: Path, programs: Sequence[Program], folder: Path, rounds: int) -> Iterator[Row]:
    taken: list[list[float]] = [[], []]
    for _ in range(rounds):
        for place, program in enumerate(programs):
            command: list[str | Path] = [
                sys.executable,
                "-m",
                "benchmarks.judge",
                AFSTEM,
                records,
                str(10**9),
                folder / "verdicts.parquet",
            ]
            said = json.loads(measure(command, cwd=ROOT, environment=program.environment).stdout)
            taken[place].append(said["cpu"])
    yield "validation, one core, CPU", median(taken[0]), median(taken[1]), "{:.2f} s"


def _nights(nights: Nights, size: Size, sides: Sequence[Afstem], rounds: int) -> Iterator[Row]:
    before = nights.night(replace(size, changed=0.0), "parquet")
    parquet, csv = (nights.night(size, form) for form in ("parquet", "csv"))
    for side in sides:
        prepare(side, before, parquet)
    for case in (
        Case("Parquet", SECOND, parquet, parquet),
        Case("CSV", SECOND, csv, parquet),
        Case("nothing changed", THIRD, nights.in_other_bytes(parquet), parquet),
    ):
        result = measure_case(case, sides, rounds, must_agree=False)
        name = case.name if result["same"] else f"{case.name} (they say different things)"
        was, now = result["sides"]["A"], result["sides"]["B"]
        yield f"{name}, wall", median(was["wall"]), median(now["wall"]), "{:.2f} s"
        yield f"{name}, CPU", median(was["cpu"]), median(now["cpu"]), "{:.2f} s"
        yield f"{name}, memory together", was["together"] / 1e6, now["together"] / 1e6, "{:,.0f} MB"


if __name__ == "__main__":
    compare()
