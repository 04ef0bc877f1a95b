"""``RESULTS.md`` from ``results.json``: every section says on what and when it was measured."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import median
from benchmarks.validation import TITLES

HERE = Path(__file__).parent
JSON, PAGE = HERE / "results.json", HERE / "RESULTS.md"
AFSTEM = "afstem"


def keep(section: str, measured: dict[str, Any], circumstances: dict[str, Any], folder: Path = HERE) -> None:
    """Replace one section of the results, and write the page anew."""
    path = folder / JSON.name
    results = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    results[section] = {"circumstances": circumstances, "measured": measured}
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / PAGE.name).write_text(page(results), "utf-8")


def page(results: dict[str, Any]) -> str:
    sections = {
        "validation": ("Validation alone, on one core", _validation),
        "nights": ("A whole night", _nights),
        "country": ("The whole country", _country),
        "start-up": ("Start-up", _start_up),
    }
    parts = [_INTRODUCTION]
    for name, (title, write) in sections.items():
        if name in results:
            parts += [f"## {title}", *write(results[name]["measured"]), _circumstances(results[name]["circumstances"])]
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = """\
# Measured

Written by `make bench` and `make bench-country`; the numbers of every round are in `results.json`. Medians of runs in
turn (A B A B), nothing else of ours running. Seconds are wall clock unless it says CPU. *Largest* is the peak memory of
the largest process, *together* that of the whole process tree with each shared page counted once (PSS). The data are
written by `afstem sample --night`. Every baseline stands in `baselines/`, and a run stops if a baseline says anything
else than the program."""


def _validation(measured: dict[str, Any]) -> Iterable[str]:
    loop = _rate(measured["rows"]["loop"])
    yield (
        "Records a second of CPU, in a process bound to one core; reading the file and importing are not timed. All "
        "judge CPR number and value by the libraries' own verdicts; afstem judges `registreret`, `reference` and "
        "`kontaktdatatype` beside. The baselines judge the first part of the same shuffled file; "
        "hence their peak memory is that of the part."
    )
    yield table(
        ["", "records", "records/s", "times the loop", "peak memory", "gives the normalised value"],
        [
            [
                TITLES[name],
                f"{row['records']:,}",
                f"{_rate(row):,.0f}",
                _ratio(_rate(row) / loop),
                _megabytes(row["peak_rss"]),
                "yes" if row["normalises"] else "no, verdict only",
            ]
            for name, row in measured["rows"].items()
        ],
    )
    yield "How it depends on the share of records with dirt:"
    yield table(
        ["dirt", "afstem, records/s", "loop, records/s", "times"],
        [
            [
                f"{float(dirty):.0%}",
                f"{_rate(rows[AFSTEM]):,.0f}",
                f"{_rate(rows['loop']):,.0f}",
                _ratio(_rate(rows[AFSTEM]) / _rate(rows["loop"])),
            ]
            for dirty, rows in measured["sensitivity"].items()
        ],
    )


def _nights(measured: dict[str, Any]) -> Iterable[str]:
    yield _size(measured["size"]) + (
        " *Parquet* and *CSV* are a second night: nearly all of it repeats what the store holds from the night before. "
        "*Nothing changed* is the same night once more in other bytes. In a *first night* whatever another "
        "actor tells of, or of another time, is written, because a loaded contact is older than any extract."
    )
    yield _cases(measured["cases"])
    yield from _steps(measured["cases"])


def _country(measured: dict[str, Any]) -> Iterable[str]:
    load = measured["load"]
    yield _size(measured["size"])
    yield (
        f"`afstem reference load`: {load['wall']:.1f} s ({load['cpu']:.1f} s CPU), "
        f"largest process {_megabytes(load['largest'])}."
    )
    yield _cases(measured["cases"])
    yield from _steps(measured["cases"])


def _cases(cases: Sequence[dict[str, Any]]) -> str:
    """A side is held against the program on SQLite in the same night."""
    rows = []
    program: dict[str, Any] = {}
    for case in cases:
        if AFSTEM in case["sides"]:
            program[case["name"]] = case["sides"][AFSTEM]
        own = program.get(case["name"])
        for name, side in case["sides"].items():
            times = ["", ""]
            if own and name != AFSTEM:
                times = [f"{median(side[taken]) / median(own[taken]):.1f}" for taken in ("wall", "cpu")]
            rows.append(
                [
                    case["name"],
                    name,
                    f"{median(side['wall']):.2f} s",
                    f"{median(side['cpu']):.2f} s",
                    _megabytes(side["largest"]),
                    _megabytes(side["together"]),
                    *times,
                ]
            )
    return table(["night", "", "wall", "CPU", "largest", "together", "times the wall", "times the CPU"], rows)


def _steps(cases: Sequence[dict[str, Any]]) -> Iterable[str]:
    """Of the first case whose last run told its steps."""
    told = next((side for case in cases for side in case["sides"].values() if side.get("steps")), None)
    if told is None:
        return
    total = told["wall"][-1]
    steps = [*told["steps"], {"step": "start and end of the process", "wall": total - sum(_walls(told)), "cpu": None}]
    yield "Where the time goes, in the last run of the first row (steps as `afstem -v run` tells them):"
    yield table(
        ["step", "wall", "share", "CPU"],
        [
            [
                step["step"],
                f"{step['wall']:.2f} s",
                f"{step['wall'] / total:.0%}",
                "" if step["cpu"] is None else f"{step['cpu']:.2f} s",
            ]
            for step in steps
        ],
    )


def _walls(told: dict[str, Any]) -> list[float]:
    return [step["wall"] for step in told["steps"]]


def _start_up(measured: dict[str, Any]) -> Iterable[str]:
    yield table(["command", "wall"], [[f"`{name}`", f"{median(walls):.3f} s"] for name, walls in measured.items()])


def _circumstances(on: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in on["versions"].items())
    return (
        f"<sub>{on['measured_at']}, commit {on['commit']}, load at the start {on['load'][0]}; {on['cores']} cores "
        f"{on['processor']}, {on['memory_gib']} GiB, {on['system']}, Python {on['python']}; {versions}.</sub>"
    )


def _size(size: dict[str, Any]) -> str:
    return (
        f"{size['records']:,} records of {size['actors']} actors, {size['citizens']:,} citizens, {size['stored']:,} "
        f"stored contacts; {size['dirty']:.0%} rejected, {size['changed']:.0%} changed."
    )


def _rate(row: dict[str, Any]) -> float:
    return float(row["records"] / median(row["cpu"]))


def _ratio(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2f}"


def _megabytes(count: float | None) -> str:
    return "" if count is None else f"{count / 1e6:,.0f} MB"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
