"""Everybody can use the report: WCAG 2.1 AA by axe-core, keyboard, narrow windows, forced colours, paper."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from pypdf import PdfReader
from report_example import RUN_ID
from report_states import STATES

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

WIDE, USUAL, NARROW = 1440, 1280, 320
"""A window, a usual one, and what WCAG calls that one enlarged four times."""

KINDS = {
    "history": "index",
    "first page": f"{RUN_ID}/index",
    "code": f"{RUN_ID}/codes/9156",
    "code of a whole extract": f"{RUN_ID}/codes/1012",
    "notice": f"{RUN_ID}/codes/N3",
    "actor": f"{RUN_ID}/actors/kommune-2",
    "actor with held extracts": f"{RUN_ID}/actors/kommune-3",
    "actor that is unavailable": f"{RUN_ID}/actors/anden-1",
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report in which everything happens."""
    folder = tmp_path_factory.mktemp("reports")
    STATES["everything"]().write(folder)
    return folder


@contextmanager
def opened(browser: Browser, path: Path, width: int = WIDE, **how: Any) -> Iterator[Any]:
    """A page as it is seen so, with everything on it folded out."""
    with browser.context(
        viewport={"width": width, "height": 900}, offline=True, bypass_csp=True, locale="da-DK", **how
    ) as context:
        page = context.new_page()
        page.goto(path.resolve().as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        yield page


def violations(page: Any) -> list[str]:
    """What axe-core finds, each with its first element."""
    page.evaluate(AXE)
    found = page.evaluate(
        "rules => axe.run(document, { runOnly: rules, resultTypes: ['violations'] }).then(all => all.violations)", RULES
    )
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ending", [".html", ".en.html"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_page_is_accessible(
    browser: Browser, reports: Path, kind: str, ending: str, scheme: str, width: int
) -> None:
    with opened(browser, reports / f"{KINDS[kind]}{ending}", width, color_scheme=scheme) as page:
        assert violations(page) == []


@pytest.mark.parametrize("state", [name for name in STATES if name not in ("everything", "many-actors")])
def test_every_state_is_accessible_and_fits(browser: Browser, tmp_path: Path, state: str) -> None:
    run = STATES[state]().write(tmp_path)
    for path in [run / "index.html", *sorted(run.glob("actors/*[0-9].html"))[:1]]:
        with opened(browser, path, NARROW) as page:
            assert violations(page) == []
            assert overflow(page) == 0


@pytest.mark.parametrize("state", [name for name in STATES if name != "many-actors"])
def test_a_usual_window_shows_whole_tables(browser: Browser, tmp_path: Path, state: str) -> None:
    run = STATES[state]().write(tmp_path)
    for path in sorted(run.glob("index*.html")):
        with opened(browser, path, USUAL) as page:
            cut = "[...document.querySelectorAll('.tw')].filter(one => one.scrollWidth > one.clientWidth)"
            assert page.evaluate(f"{cut}.map(one => one.getAttribute('aria-label'))") == []


def test_control_axe_finds_what_is_wrong(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<!doctype html><title>x</title><p style='color:#aaa;background:#fff'>hard to read</p><img src='data:,'>"
    )
    with opened(browser, page) as opened_page:
        found = {one.partition(":")[0] for one in violations(opened_page)}
    assert {"html-has-lang", "color-contrast", "image-alt"} <= found


def overflow(page: Any) -> int:
    """How much wider the page is than its window; what scrolls within a frame of its own does not count."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_narrow_window_needs_no_scrolling_to_the_side(browser: Browser, reports: Path, kind: str) -> None:
    for ending in (".html", ".en.html"):
        with opened(browser, reports / f"{KINDS[kind]}{ending}", NARROW) as page:
            assert overflow(page) == 0
            # WCAG 1.4.12: what readers may set must not lose anything.
            page.add_style_tag(
                content="*{line-height:1.5!important;letter-spacing:.12em!important;word-spacing:.16em!important}"
                "p{margin-bottom:2em!important}"
            )
            assert overflow(page) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_forced_colours_lose_nothing(browser: Browser, reports: Path, kind: str) -> None:
    """The reader's two colours: every cell is readable, the squares that tell who must act keep theirs."""
    with opened(browser, reports / f"{KINDS[kind]}.html", forced_colors="active") as page:
        assert violations(page) == []
        colours = page.evaluate(
            "[...document.querySelectorAll('.mv')].map(one => getComputedStyle(one).forcedColorAdjust)"
        )
        assert set(colours) <= {"none"}


# --- the keyboard ---------------------------------------------------------------------------------------------------

_FOCUSED = """() => {
    const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
    return { name: at.localName, text: at.textContent.trim(), outline: parseFloat(style.outlineWidth) || 0,
             style: style.outlineStyle, seen: box.width > 0 && box.height > 0, body: at === document.body };
}"""


@pytest.mark.parametrize("kind", KINDS)
def test_the_tab_key_reaches_everything_and_shows_where_it_is(browser: Browser, reports: Path, kind: str) -> None:
    with opened(browser, reports / f"{KINDS[kind]}.html") as page:
        wanted = page.evaluate(
            """() => [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")]
                .filter(one => one.checkVisibility()).length"""
        )
        reached = []
        for _ in range(wanted + 2):
            page.keyboard.press("Tab")
            at = page.evaluate(_FOCUSED)
            if at["body"]:
                break
            reached.append(at)
        assert len(reached) == wanted
        assert all(at["outline"] >= 2 and at["style"] != "none" and at["seen"] for at in reached)


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_tables_are_sorted_by_the_keyboard(browser: Browser, reports: Path, key: str) -> None:
    with opened(browser, reports / f"{RUN_ID}/index.html") as page:
        head = page.locator("#t-codes thead th").nth(2)
        head.locator("button").focus()
        page.keyboard.press(key)
        assert head.get_attribute("aria-sort") == "descending"
        numbers = [int(text) for text in page.locator("#t-codes tbody td:nth-child(3)").all_inner_texts()]
        assert numbers == sorted(numbers, reverse=True)
        assert len(set(numbers)) > 2
        assert page.locator("#t-codes [aria-sort]").count() == 1
        assert "Fejl" in page.locator("#say").inner_text()
        assert page.evaluate(_FOCUSED)["text"].startswith("Fejl")
        page.keyboard.press(key)
        assert head.get_attribute("aria-sort") == "ascending"
        page.reload()
        assert page.locator("#t-codes thead th").nth(2).get_attribute("aria-sort") == "ascending"


def test_the_skip_link_leads_past_the_head(browser: Browser, reports: Path) -> None:
    with opened(browser, reports / f"{RUN_ID}/index.html") as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.getElementById('main').contains(document.activeElement)")


def test_many_actors_are_filtered_and_what_is_chosen_survives_a_reload(browser: Browser, tmp_path: Path) -> None:
    run = STATES["many-actors"]().write(tmp_path)
    with opened(browser, run / "index.html") as page:
        rows = page.locator("#t-matrix tbody tr")
        assert rows.count() == 300
        assert page.locator("#t-matrix tbody tr:visible").count() == 25
        page.locator("[data-of=t-matrix] [name=f]").fill("aktør 01")
        assert page.locator("#t-matrix tbody tr:visible").count() == 10
        page.locator("[data-of=t-matrix] [name=t]").select_option("kommune")
        shown = page.locator("#t-matrix tbody tr:visible").count()
        assert 0 < shown < 10
        page.reload()
        assert page.locator("#t-matrix tbody tr:visible").count() == shown
        assert violations(page) == []


def test_without_script_everything_is_there(browser: Browser, tmp_path: Path) -> None:
    run = STATES["many-actors"]().write(tmp_path)
    with browser.context(java_script_enabled=False, offline=True) as context:
        page = context.new_page()
        page.goto((run / "index.html").resolve().as_uri())
        assert page.locator("#t-matrix tbody tr:visible").count() == 300
        assert page.locator("button:visible, input:visible, select:visible").count() == 0


# --- paper ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["everything", "long-names", "nothing-rejected"])
def test_the_first_printed_page_is_the_summary(browser: Browser, tmp_path: Path, state: str) -> None:
    run = STATES[state]().write(tmp_path)
    with browser.context(offline=True) as context:
        page = context.new_page()
        page.goto((run / "index.html").resolve().as_uri())
        last_to_do = page.locator("#do_first table tbody tr").last
        last = last_to_do.locator("td").last.inner_text() if last_to_do.count() else "Ingen henvendelse"
        printed = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
    texts = [" ".join(paper.extract_text().split()) for paper in printed.pages]
    assert "Kan du stole på kørslen?" in texts[0]
    assert "Gør dette først" in texts[0]
    assert " ".join(last.split()) in texts[0]
    assert "Afviste poster tæller hver post én gang" not in texts[0]
    [codes] = [text for text in texts[1:] if text.startswith("Fejlkoder")]
    assert "1012" in codes
    assert len(texts) <= 10


def test_what_is_folded_is_printed(browser: Browser, reports: Path) -> None:
    with browser.context(offline=True) as context:
        page = context.new_page()
        page.goto((reports / f"{RUN_ID}/index.html").resolve().as_uri())
        folded = page.locator("details table caption").last.text_content()
        printed = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
    assert folded in " ".join(" ".join(paper.extract_text().split()) for paper in printed.pages)
