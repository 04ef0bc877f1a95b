"""The pages of one run: the first page, one of each error code, one of each actor; and the list of runs above them.

The pages are in two languages and stand alone: complete without script, no network, relative links. What they show is
`ReportData`, so their size does not grow with the rejections.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from afstem.report.charts import columns_of_code, stacked_columns
from afstem.report.contents import ReportData
from afstem.report.history import PastRun, replace_text
from afstem.report.language import LANGUAGES, Language
from afstem.report.markup import check_text, moment_in, render
from afstem.report.nights import Night
from afstem.report.told import Changes
from afstem.schema import Change, ContactType


def write_pages(folder: Path, data: ReportData, part: int = 0, parts: int = 1) -> None:
    """Write ``index``, ``codes/<code>`` and ``actors/<id>``, each as ``.html`` and ``.en.html``, into ``folder``.

    Of several ``parts``, which can be written side by side, only this one.
    """
    for name in ("codes", "actors"):
        (folder / name).mkdir(exist_ok=True)
    if part == parts - 1:
        write_index(folder, data)
    for language in LANGUAGES:
        shown = _shown(data, language)
        for code, report in list(data.codes.items())[part::parts]:
            stem = f"codes/{code}"
            chart = columns_of_code(data.nights, code)
            _write(folder, stem, language, render("code.html.j2", language, stem, **shown, code=report, chart=chart))
        for notice in list(data.notices.values())[part::parts]:
            stem = f"codes/{notice.code}"
            _write(folder, stem, language, render("notice.html.j2", language, stem, **shown, notice=notice))
        for actor in list(data.actors.values())[part::parts]:
            stem = f"actors/{actor.id}"
            own = {"actor": actor, "trend_of": partial(_trend, data.nights, actor=actor.id)}
            _write(folder, stem, language, render("actor.html.j2", language, stem, **shown, **own))


def write_index(folder: Path, data: ReportData) -> None:
    """Write the first page in both languages."""
    overview = _overview(data)
    for language in LANGUAGES:
        page = render("index.html.j2", language, "index", **_shown(data, language), **overview)
        _write(folder, "index", language, page)


def _shown(data: ReportData, language: Language) -> dict[str, Any]:
    return {
        "data": data,
        "moment": partial(moment_in, language, timezone=data.timezone),
        "check_text": partial(check_text, language, data),
    }


def _trend(nights: Sequence[Night], code: int, actor: str | None = None) -> list[int]:
    """The findings of a code, night by night."""
    return [night.findings(code, actor) for night in nights]


def write_history(reports: Path, runs: Sequence[PastRun]) -> None:
    """Write ``index`` into the reports folder; the runs come newest first."""
    for language in LANGUAGES:
        page = render("history.html.j2", language, "index", runs=runs, moment_in=partial(moment_in, language))
        replace_text(reports / language.page("index"), page)


_SECTIONS = ("do_first", "trend", "codes", "matrix", "balance", "changes", "extracts", "notices", "downloads")


def _overview(data: ReportData) -> dict[str, Any]:
    """What the first page singles out: what was found, and what is missing."""
    actors = data.actors.values()
    with_hold = [extract for extract in data.extracts if extract.has_hold]
    held = ["held"] if with_hold else []
    sections = ("changes", *held, *_SECTIONS) if data.dry_run else (*_SECTIONS[:2], *held, *_SECTIONS[2:])
    return {
        "sections": tuple(dict.fromkeys(sections)),
        "chart": stacked_columns(data.nights),
        "trend_of": partial(_trend, data.nights),
        "above": frozenset(data.above),
        "found_codes": [code for code, report in data.codes.items() if report.counts.findings],
        "with_findings": [actor for actor in actors if actor.counts.findings],
        "silent": [actor for actor in actors if actor.delivery != "delivered"],
        "with_hold": with_hold,
        "not_read": [extract for extract in data.extracts if extract.state in ("refused", "already-applied")],
        "changed": _sum_changes(data.changes),
        "changed_by_type": {
            kind: _sum_changes(rows)
            for kind in (member.slug for member in ContactType)
            if (rows := [row for row in data.changes if row.contact_type == kind])
        },
        "changed_by_actor": {
            actor: list(rows) for actor, rows in groupby(sorted(data.changes, key=_by_actor), key=_by_actor)
        },
    }


def _by_actor(row: Changes) -> str:
    return row.actor


def _sum_changes(rows: Iterable[Changes]) -> Mapping[Change, int]:
    return {change: sum(row.counts[change] for row in rows) for change in Change}


def _write(folder: Path, stem: str, language: Language, page: str) -> None:
    (folder / language.page(stem)).write_text(page, encoding="utf-8", newline="\n")
