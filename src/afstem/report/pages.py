"""The pages of one run: the first page, one of each error code, one of each actor; and the list of runs above them.

The pages are in two languages, static, and stand alone: no script, no network, relative links. What they show is
`ReportData`, so their size does not grow with the rejections.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from afstem.report.build import Changes, ReportData
from afstem.report.history import PastRun, replace_text
from afstem.report.language import LANGUAGES, Language
from afstem.report.markup import moment_in, render
from afstem.schema import Change, ContactType


def write_pages(folder: Path, data: ReportData) -> None:
    """Write ``index``, ``codes/<code>`` and ``actors/<id>``, each as ``.html`` and ``.en.html``, into ``folder``."""
    for part in ("codes", "actors"):
        (folder / part).mkdir(exist_ok=True)
    overview = _overview(data)
    for language in LANGUAGES:
        shown = {"data": data, "moment": partial(moment_in, language, timezone=data.timezone)}
        _write(folder, "index", language, render("index.html.j2", language, "index", **shown, **overview))
        for code, report in data.codes.items():
            stem = f"codes/{code}"
            _write(folder, stem, language, render("code.html.j2", language, stem, **shown, code=report))
        for actor in data.actors.values():
            stem = f"actors/{actor.id}"
            _write(folder, stem, language, render("actor.html.j2", language, stem, **shown, actor=actor))


def write_history(reports: Path, runs: Sequence[PastRun]) -> None:
    """Write ``index`` into the reports folder; the runs come newest first."""
    for language in LANGUAGES:
        page = render("history.html.j2", language, "index", runs=runs, moment_in=partial(moment_in, language))
        replace_text(reports / language.page("index"), page)


_SECTIONS = ("do_first", "codes", "matrix", "balance", "changes", "extracts", "downloads")


def _overview(data: ReportData) -> dict[str, Any]:
    """What the first page singles out: what was found, and what is missing."""
    actors = data.actors.values()
    states = [extract.state for extract in data.extracts]
    with_hold = [extract for extract in data.extracts if extract.has_hold]
    first = [*(["changes"] if data.dry_run else []), *(["held"] if with_hold else [])]
    others = [name for name in _SECTIONS if name not in first]
    return {
        "sections": first + others,
        "found_codes": [code for code, report in data.codes.items() if report.counts.findings],
        "with_findings": [actor for actor in actors if actor.counts.findings],
        "silent": [actor for actor in actors if actor.delivery != "delivered"],
        "unavailable": sum(actor.delivery == "unavailable" for actor in actors),
        "refused": states.count("refused"),
        "with_hold": with_hold,
        "held": [extract for extract in data.extracts if extract.state == "held"],
        "not_read": [extract for extract in data.extracts if extract.state in ("refused", "already-applied")],
        "changed": _sum_changes(data.changes),
        "changed_by_type": {
            kind: _sum_changes(rows)
            for kind in (member.slug for member in ContactType)
            if (rows := [row for row in data.changes if row.contact_type == kind])
        },
    }


def _sum_changes(rows: Iterable[Changes]) -> Mapping[Change, int]:
    return {change: sum(row.counts[change] for row in rows) for change in Change}


def _write(folder: Path, stem: str, language: Language, page: str) -> None:
    (folder / language.page(stem)).write_text(page, encoding="utf-8", newline="\n")
