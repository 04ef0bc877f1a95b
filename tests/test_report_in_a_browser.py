"""Nothing that actors send runs in a page of the report: every page, in a real browser, hostile texts in every place.

Values are masked before they are shown, and file names are told without what cannot be printed. Here neither is relied
on: the texts are put where the pages take theirs from, into every one that a page can show.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from faults.hostile_values import ENCODINGS, MARKUP, TEXTS, Night, all_at_once
from report_example import RUN_ID, example
from test_report import ELEMENTS, pages

from afstem.hold import Excess
from afstem.report import markup
from afstem.report.build import build_report
from afstem.report.pages import write_pages
from afstem.report.trust import Check

ELSEWHERE = "http://127.0.0.1:9"
"""Nobody listens there."""

RUN = {
    "script": "<script>alert('ran')</script>",
    "image": "<img src=x onerror=alert('ran')>",
    "out of an attribute": "\"'><img src=x onerror=alert('ran')>",
    "event in an attribute": "x' \" autofocus tabindex=0 onfocus=alert('ran') x=",
    "out of the title": "</title><svg onload=alert('ran')></svg>",
    "out of the style": "</style><script>alert('ran')</script>",
    "frame": "<iframe srcdoc='<script>parent.alert(`ran`)</script>'></iframe>",
    "details": "<details open ontoggle=alert('ran')>x</details>",
    "body": "<body onpageshow=alert('ran')>",
    "image elsewhere": f"<img src={ELSEWHERE}/i>",
    "style elsewhere": f"<link rel=stylesheet href={ELSEWHERE}/s><style>@import url({ELSEWHERE}/t)</style>",
    "script elsewhere": f"<script src={ELSEWHERE}/s></script>",
    "away": f"<meta http-equiv=refresh content='0;url={ELSEWHERE}/away'>",
}
"""What runs, or fetches, in a page that is not careful; the control proves it of each."""

CHANGED = (
    "{{7*7}}",
    "{% if 1 %}x{% endif %}",
    "${7*7}",
    "\u202eabc\u2066def\u2069",
    "\ufeff\u200b\u2028\u2029\0\x1b[31m",
)
"""What a template, a terminal or a reader's eye would make something else of."""

NOT_SEEN = "\u202e\u2066\u2069\ufeff\u200b\u2028\u2029\0\x1b"

EVERYTHING = " ".join((*RUN.values(), *CHANGED))

KEPT = ("run_id", "timezone", "status", "id", "actor", "deadline", "code")
"""Ours, or letters, digits and hyphens alone (`settings` sees to it): pages are named and linked by them."""


def forced(thing: Any, text: str) -> Any:
    """A copy of what pages are made from with the text in every place that holds one."""
    if isinstance(thing, Excess | Check):
        return thing  # names of ours, and numbers
    if isinstance(thing, str) and not isinstance(thing, Enum):
        return text
    if is_dataclass(thing):
        changed = {
            part.name: forced_names(value, text) if part.name in ("reasons", "validators") else forced(value, text)
            for part in fields(thing)
            if part.init and part.name not in KEPT and (value := getattr(thing, part.name)) is not None
        }
        return replace(thing, **changed)
    if isinstance(thing, Mapping):
        return {key: forced(value, text) for key, value in thing.items()}
    if isinstance(thing, tuple):
        return tuple(forced(part, text) for part in thing)
    return thing


def forced_names(mapping: Mapping[Any, Any], text: str) -> dict[Any, Any]:
    """The same for a mapping by reason, or by code and reason, or by library; the names stay apart."""
    return {
        (key[0], f"{text}{place}") if isinstance(key, tuple) else f"{text}{place}": forced(value, text)
        for place, (key, value) in enumerate(mapping.items())
    }


def hostile_pages(folder: Path, text: str) -> list[Path]:
    """Every page of a run in which everything happens, with the text in every place."""
    whole = example()
    run = whole.write(folder)
    write_pages(run, forced(build_report(whole.manifest(), run / "rejections", run / "notices"), text))
    return pages(run)


def one_of_each_kind(folder: Path) -> list[Path]:
    return [folder / RUN_ID / name for name in ("index.html", "codes/9158.html", "actors/a-kasse-1.html")]


def naive(monkeypatch: pytest.MonkeyPatch, *, policy: bool) -> None:
    """Let the templates write what they are given as it is, as Jinja does unless it is told otherwise."""
    environment = markup._environment.__wrapped__()
    environment.autoescape = False
    environment.bytecode_cache = None
    environment.cache.clear()
    if not policy:
        environment.globals["policy"] = ""
    monkeypatch.setattr(markup, "_environment", lambda: environment)


def test_nothing_runs_in_any_page(browser: Browser, tmp_path: Path) -> None:
    visited = hostile_pages(tmp_path, EVERYTHING)
    assert len(visited) == 54
    chances = 0
    for path in visited:
        visit = browser.visit(path)
        assert (path.name, visit.dialogs, visit.requests, visit.complaints) == (path.name, [], [], [])
        assert visit.elements <= ELEMENTS
        assert all(link.startswith(tmp_path.resolve().as_uri()) for link in visit.links)
        assert not set(visit.text) & set(NOT_SEEN)
        shown = visit.text.count(RUN["details"])
        assert shown == visit.text.count("{{7*7}}")
        assert shown or path.parent == tmp_path  # the history holds no actor's text
        chances += shown
    assert chances > 900


def test_nothing_runs_in_the_report_of_a_hostile_night(browser: Browser, tmp_path: Path) -> None:
    """From file to page: hostile values in every column and format, in names of actors, columns and files."""
    night = Night(tmp_path / "workspace", f"sqlite:///{tmp_path}/afstem.db", citizens=10_000)
    summary, _ = night.run(all_at_once(TEXTS), names=MARKUP)
    visited = [path for path in pages(Path(summary["report"])) if not path.name.endswith(".en.html")]
    assert len(visited) == 2 + 12 + 5 + len(ENCODINGS)
    for path in visited:
        visit = browser.visit(path)
        assert (path.name, visit.dialogs, visit.requests, visit.complaints) == (path.name, [], [], [])
        assert visit.elements <= ELEMENTS
        assert all(link.startswith(tmp_path.resolve().as_uri()) for link in visit.links)
        assert not set(visit.text) & set(NOT_SEEN)


def test_control_the_same_texts_run_in_naive_pages(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    naive(monkeypatch, policy=False)
    hostile_pages(tmp_path, f"\"'>{RUN['image elsewhere']}<i>")
    for path in one_of_each_kind(tmp_path):
        visit = browser.visit(path)
        assert visit.ran
        assert "i" in visit.elements - ELEMENTS


@pytest.mark.parametrize("text", RUN.values(), ids=RUN.keys())
def test_control_each_text_runs_in_a_naive_page(browser: Browser, tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><title>{text}</title><p title='{text}'>{text}</p>")
    visit = browser.visit(page)
    assert "ran" in visit.dialogs or any(url.startswith(ELSEWHERE) for url in visit.requests)


def test_the_policy_alone_holds_where_nothing_is_escaped(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second wall. (No policy of a page keeps it from being sent elsewhere by `<meta http-equiv=refresh>`.)"""
    naive(monkeypatch, policy=True)
    hostile_pages(tmp_path, " ".join(text for name, text in RUN.items() if name != "away"))
    for path in one_of_each_kind(tmp_path):
        visit = browser.visit(path)
        assert not visit.ran
        assert any("Content Security Policy" in complaint for complaint in visit.complaints)
