"""The pages of the report: the numbers agree, the links lead somewhere, nothing hostile or personal gets through."""

import base64
import hashlib
import html
import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from jinja2 import Environment, FileSystemBytecodeCache
from report_example import HOSTILE_VALUES, LONG_NAME, RUN_ID, Example, ExampleActor, ExampleExtract, example, refusal
from report_numbers import parse_page, read_page

from afstem.errors import RunError
from afstem.masking import display_value
from afstem.report import markup
from afstem.report.build import build_report
from afstem.report.history import LINES, keep, past_runs
from afstem.report.pages import write_history
from afstem.rules import NOTICES, RULES

CPR_LIKE = re.compile(r"\d{6}[-\s]?\d{4}")
INVISIBLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
OUTCOMES = ("applied", "unchanged", "superseded", "held", "rejected")
ELEMENTS = {
    *("html", "head", "meta", "title", "link", "style", "body", "header", "main", "footer", "nav", "section", "div"),
    *("h1", "h2", "p", "a", "ol", "ul", "li", "dl", "dt", "dd", "details", "summary", "blockquote", "q"),
    *(
        "svg",
        "path",
        "polyline",
        "rect",
        "text",
        "script",
        "label",
        "input",
        "select",
        "option",
        "button",
        "output",
        "b",
    ),
    *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "span", "strong", "bdi", "data", "time"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return example().write(tmp_path_factory.mktemp("reports"))


def pages(folder: Path) -> list[Path]:
    """Every page of the run and of the history beside it."""
    return sorted([*folder.rglob("*.html"), *folder.parent.glob("*.html")])


def findings_of(folder: Path) -> pa.Table:
    partitioning = ds.partitioning(pa.schema([("code", pa.int32())]), flavor="hive")
    return ds.dataset(folder / "rejections", partitioning=partitioning).to_table()


# --- the numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".html", ".en.html"])
def test_first_page_says_what_the_manifest_says(run: Path, ending: str) -> None:
    manifest = example().manifest()
    numbers = read_page(run / f"index{ending}")
    assert numbers["records"] == manifest["records"]
    assert {name: numbers[name] for name in OUTCOMES} == manifest["outcomes"]
    assert numbers["findings"] == sum(manifest["findings"].values())
    for rule in RULES:
        assert numbers[f"code.{rule.code}.findings"] == manifest["findings"].get(str(rule.code), 0)
    for actor in manifest["actors"]:
        assert numbers[f"actor.{actor['id']}.records"] == actor["records"]
        assert {name: numbers[f"actor.{actor['id']}.{name}"] for name in OUTCOMES} == actor["outcomes"]
        for code, count in actor["findings"].items():
            assert numbers[f"actor.{actor['id']}.findings.{code}"] == count
    for row in manifest["balance"]:
        scope = f"actor.{row['actor']}.{row['contact_type'] or 'none'}"
        assert {name: numbers[f"{scope}.{name}"] for name in ("records", *OUTCOMES)} == {
            name: row[name] for name in ("records", *OUTCOMES)
        }
    assert numbers["actors"] == 8
    assert numbers["actors_delivered"] == 6
    assert numbers["extracts_refused"] == 3


def test_the_balance_is_written_out(run: Path) -> None:
    numbers = read_page(run / "index.html")
    scopes = {name.removesuffix("records") for name in numbers if name.endswith("records")}
    assert len(scopes) > 10
    for scope in scopes - {name for name in scopes if name.startswith("extract.")}:
        assert numbers[f"{scope}records"] == sum(numbers[f"{scope}{name}"] for name in OUTCOMES)


def test_primary_counts_add_up_to_the_rejected(run: Path) -> None:
    numbers = read_page(run / "index.html")
    assert sum(numbers[f"code.{rule.code}.primary"] for rule in RULES) == numbers["rejected"]


@pytest.mark.parametrize("ending", [".html", ".en.html"])
def test_code_pages_say_what_the_parquet_says(run: Path, ending: str) -> None:
    findings = findings_of(run)
    for rule in RULES:
        numbers = read_page(run / "codes" / f"{rule.code}{ending}")
        of_code = findings.filter(pc.equal(findings["code"], rule.code))
        assert numbers[f"code.{rule.code}.findings"] == len(of_code)
        for group, column in (("actor", "actor"), ("reason", "reason")):
            counted = Counter(of_code[column].to_pylist())
            prefix, suffix = f"code.{rule.code}.{group}.", ".findings"
            shown = {
                name.removeprefix(prefix).removesuffix(suffix): number
                for name, number in numbers.items()
                if name.startswith(prefix) and name.endswith(suffix)
            }
            assert shown == dict(counted)


def test_notice_pages_say_what_the_manifest_says(run: Path) -> None:
    manifest = example().manifest()
    assert manifest["notices"] == {"N2": 3, "N5": 1}
    for ending in (".html", ".en.html"):
        for notice in NOTICES:
            numbers = read_page(run / "codes" / f"{notice.code}{ending}")
            name = f"notice.{notice.code}"
            counted = manifest["notices"].get(notice.code, 0)
            assert numbers[f"{name}.records"] == read_page(run / f"index{ending}")[f"{name}.noticed"] == counted
            for actor in manifest["actors"]:
                assert numbers.get(f"{name}.actor.{actor['id']}.records", 0) == actor["notices"].get(notice.code, 0)


def test_actor_pages_say_what_parquet_and_manifest_say(run: Path) -> None:
    findings = findings_of(run)
    for actor in example().manifest()["actors"]:
        name = f"actor.{actor['id']}"
        of_actor = findings.filter(pc.equal(findings["actor"], actor["id"]))
        for ending in (".html", ".en.html"):
            numbers = read_page(run / "actors" / f"{actor['id']}{ending}")
            assert {outcome: numbers[f"{name}.{outcome}"] for outcome in OUTCOMES} == actor["outcomes"]
            for code, count in Counter(of_actor["code"].to_pylist()).items():
                assert numbers[f"{name}.findings.{code}"] == count
            reasons = Counter(zip(of_actor["code"].to_pylist(), of_actor["reason"].to_pylist(), strict=True))
            for (code, reason), count in reasons.items():
                assert numbers[f"{name}.reason.{code}.{reason}"] == count


def test_history_says_what_the_manifest_says(run: Path) -> None:
    manifest = example().manifest()
    for page in ("index.html", "index.en.html"):
        numbers = read_page(run.parent / page)
        assert numbers[f"run.{RUN_ID}.records"] == manifest["records"]
        assert {name: numbers[f"run.{RUN_ID}.{name}"] for name in OUTCOMES} == manifest["outcomes"]


def test_the_number_reader_finds_a_number_that_reads_differently(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<p data-scope="a"><data value="1234" data-name="b">1.234</data></p>')
    assert read_page(page) == {"a.b": 1234}
    page.write_text('<p><data value="1235" data-name="b">1.234</data></p>')
    with pytest.raises(AssertionError, match="reads"):
        read_page(page)
    page.write_text('<p><data value="1" data-name="b">1</data><data value="2" data-name="b">2</data></p>')
    with pytest.raises(AssertionError, match="both"):
        read_page(page)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("records",), 1),
        (("outcomes", "rejected"), 1),
        (("findings", "9158"), 1),
        (("actors", 2, "records"), 1),
        (("actors", 2, "findings", "9156"), 7),
        (("balance", 0, "applied"), 99),
        (("actors", 0, "id"), "somebody-else"),
    ],
)
def test_a_manifest_that_disagrees_stops_the_run(run: Path, path: tuple[str | int, ...], wrong: object) -> None:
    manifest = example().manifest()
    build_report(manifest, run / "rejections", run / "notices")
    *way, last = path
    part = manifest
    for step in way:
        part = part[step]
    part[last] = wrong
    with pytest.raises(RunError):
        build_report(manifest, run / "rejections", run / "notices")


# --- the pages ------------------------------------------------------------------------------------------------------


def test_every_link_leads_somewhere(run: Path) -> None:
    links = 0
    for page in pages(run):
        reader = parse_page(page)
        for link in reader.links:
            if link.startswith(("#", "data:")):
                continue
            assert not re.match(r"[a-z]+:|/", link), f"{page.name} links out: {link}"
            assert (page.parent / unquote(link)).exists(), f"{page.name}: {link}"
            links += 1
    assert links > 300


def test_every_page_stands_alone_in_both_languages(run: Path) -> None:
    titles = Counter[str]()
    for page in pages(run):
        reader = parse_page(page)
        text = page.read_text(encoding="utf-8")
        english = page.name.endswith(".en.html")
        other = page.name.replace(".en.html", ".html") if english else page.name.replace(".html", ".en.html")
        assert reader.language == ("en" if english else "da")
        assert other in reader.links
        assert reader.headings == 1
        assert reader.elements <= ELEMENTS, page.name
        assert not [name for name in reader.attributes if name.startswith("on") or name == "style"]
        assert '<meta name="robots" content="noindex">' in text
        assert '<meta name="referrer" content="no-referrer">' in text
        assert "default-src &#39;none&#39;" in text
        assert "Undefined" not in text
        titles[reader.title] += 1
    assert len(pages(run)) == 2 * (1 + 1 + len(RULES) + len(NOTICES) + 8)
    assert max(titles.values()) == 1


def test_the_policy_allows_style_and_script_of_the_page_and_nothing_else(run: Path) -> None:
    text = (run / "index.html").read_text(encoding="utf-8")
    own = re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", text, re.S)
    digests = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in own]
    assert len(digests) == 2
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert html.unescape(policy[1]) == (
        f"default-src 'none'; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'; "
        "img-src data:; form-action 'none'; base-uri 'none'"
    )


def test_every_table_has_a_caption_and_scoped_headings(run: Path) -> None:
    for page in pages(run):
        text = page.read_text(encoding="utf-8")
        assert text.count("<table") == text.count("<caption")
        assert "<th>" not in text
        assert len(re.findall(r"<th ", text)) == len(re.findall(r"<th scope=", text))


def test_english_official_texts_are_marked_as_english(run: Path) -> None:
    page = (run / "codes" / "1001.html").read_text(encoding="utf-8")
    assert '<blockquote lang="en">Invalid cpr</blockquote>' in page
    page = (run / "codes" / "9157.html").read_text(encoding="utf-8")
    assert '<blockquote lang="da">Det angivet telefonnummer er ikke validt</blockquote>' in page


def test_pages_are_the_same_each_time(tmp_path: Path, run: Path) -> None:
    again = example().write(tmp_path)
    for page in run.rglob("*.html"):
        assert page.read_bytes() == (again / page.relative_to(run)).read_bytes()


# --- hostile and personal texts -------------------------------------------------------------------------------------


def test_hostile_values_are_shown_and_harmless(run: Path) -> None:
    for page in (run / "codes" / "9158.html", run / "actors" / "a-kasse-1.en.html"):
        reader = parse_page(page)
        text = page.read_text(encoding="utf-8")
        for value in HOSTILE_VALUES:
            shown = display_value(value)
            assert shown in reader.text, f"not in the sample: {shown}"
            if set(shown) & set("<>&"):
                assert shown not in text
        assert reader.elements <= ELEMENTS


def test_the_markup_check_sees_what_is_not_escaped(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    seen = 0
    for value in HOSTILE_VALUES:
        page.write_text(f"<p>{display_value(value)}")
        try:
            seen += not parse_page(page).elements <= ELEMENTS
        except AssertionError:
            seen += 1
    assert seen >= 3


def test_nothing_invisible_or_evaluated_gets_into_a_page(run: Path) -> None:
    for page in pages(run):
        text = page.read_text(encoding="utf-8")
        assert not INVISIBLE.search(text), page.name
        assert "A-kasse <b>" not in text
        assert "A-kasse &lt;b&gt;&amp;49" not in text
    assert "A-kasse &lt;b&gt;&amp;{{7*7}}[U+202E][U+0000]" in (run / "index.html").read_text(encoding="utf-8")


def test_no_page_holds_anything_like_a_cpr_number(run: Path) -> None:
    for page in pages(run):
        for where in (page.read_text(encoding="utf-8"), "".join(parse_page(page).text)):
            assert not CPR_LIKE.search(where), page.name
            assert "base64," not in where
            assert "0101901234" not in where


def test_digests_never_look_like_a_cpr_number(tmp_path: Path) -> None:
    extract = ExampleExtract("kommune-3", "a.csv", "0101901234ab" + "0" * 52, state="already-applied")
    run = Example([ExampleActor("kommune-3", "Lyngsted")], [extract]).write(tmp_path)
    text = (run / "index.html").read_text(encoding="utf-8")
    assert "01019012" in text
    assert not CPR_LIKE.search(text)


# --- edge states ----------------------------------------------------------------------------------------------------


def test_nobody_delivered(tmp_path: Path) -> None:
    actors = [ExampleActor("star-1", "STAR", "star", "nothing"), ExampleActor("k", "K", delivery="unavailable")]
    run = Example(actors, []).write(tmp_path)
    numbers = read_page(run / "index.html")
    assert numbers["records"] == numbers["rejected"] == numbers["actors_delivered"] == 0
    assert numbers["actors_unavailable"] == 1
    assert not (run / "receipts").exists()


def test_no_actors_at_all(tmp_path: Path) -> None:
    run = Example([], []).write(tmp_path)
    assert read_page(run / "index.en.html")["actors"] == 0


def test_nothing_rejected(tmp_path: Path) -> None:
    extract = ExampleExtract("kommune-3", "a.csv", "ab" * 32, others={"mobile": {"applied": 3}})
    run = Example([ExampleActor("kommune-3", "Lyngsted")], [extract]).write(tmp_path)
    assert read_page(run / "index.html")["findings"] == 0
    assert read_page(run / "codes" / "9156.html")["code.9156.findings"] == 0
    assert (run / "receipts" / "kommune-3" / "rejected.csv").read_bytes().count(b"\r\n") == 1


def test_a_dataset_without_rows_reads_as_nothing_rejected(tmp_path: Path) -> None:
    run = example().write(tmp_path)
    quiet = Example([ExampleActor("kommune-3", "Lyngsted")], [])
    part = run / "quiet" / "code=1001"
    part.mkdir(parents=True)
    table = pq.read_table(run / "rejections" / "code=1001" / "part-0.parquet", partitioning=None)
    pq.write_table(table.slice(0, 0), part / "part-0.parquet")
    assert build_report(quiet.manifest(), run / "quiet", run / "no-notices").counts.findings == 0


def test_an_unknown_code_is_shown(tmp_path: Path) -> None:
    extract = ExampleExtract("kommune-3", "a.csv", "ab" * 32, rejected=[refusal(1, "x", (9999, "no-idea"))])
    run = Example([ExampleActor("kommune-3", "Lyngsted")], [extract]).write(tmp_path)
    assert read_page(run / "index.html")["code.9999.findings"] == 1
    assert "no-idea" in parse_page(run / "codes" / "9999.html").text
    assert read_page(run / "actors" / "kommune-3.html")["actor.kommune-3.findings.9999"] == 1


def test_a_long_name_and_a_dry_run(tmp_path: Path) -> None:
    run = replace(example(), dry_run=True).write(tmp_path)
    assert len(LONG_NAME) > 55
    for page in run.rglob("*.html"):
        assert '<p class="dry">' in page.read_text(encoding="utf-8")
    assert LONG_NAME in parse_page(run / "actors" / "kommune-1.html").text


def test_a_history_without_runs(tmp_path: Path) -> None:
    write_history(tmp_path, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.en.html", "index.html"]
    assert "<table" not in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_the_history_is_kept_and_can_be_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = example().write(tmp_path)
    from_manifest = past_runs(tmp_path)
    assert [run.run_id for run in from_manifest] == [folder.name]
    keep(tmp_path, from_manifest)
    with monkeypatch.context() as patched:
        patched.setattr("afstem.report.history.past_run", None)  # no manifest is read for a line that is kept
        assert past_runs(tmp_path) == from_manifest
    for damage in ("", "[1]", '[{"run_id": "x"}]', '{"a": 1}'):
        (tmp_path / LINES).write_text(damage)
        assert past_runs(tmp_path) == from_manifest
    (folder / "run.json").write_text("{")
    assert past_runs(tmp_path) == []


def test_templates_are_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str | None] = []
    compile_template = Environment.compile

    def counting(self: Environment, source: Any, name: str | None = None, *more: Any, **named: Any) -> Any:
        compiled.append(name)
        return compile_template(self, source, name, *more, **named)

    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(Environment, "compile", counting)
    beside = FileSystemBytecodeCache.__init__
    monkeypatch.setattr(markup._CompiledTemplates, "__init__", lambda self: beside(self, str(tmp_path / "compiled")))
    for times in (1, 0):
        compiled.clear()
        markup._environment.__wrapped__().get_template("history.html.j2")
        assert compiled.count("history.html.j2") == times


def test_page_size_does_not_grow_with_the_rejections(tmp_path: Path) -> None:
    sizes = []
    for records in (600, 3_000):
        rejected = [refusal(number, f"{number}", (9156, "too-short")) for number in range(1, records + 1)]
        extract = ExampleExtract("kommune-3", "a.csv", "ab" * 32, rejected=rejected)
        run = Example([ExampleActor("kommune-3", "Lyngsted")], [extract]).write(tmp_path / str(records))
        sizes.append((run / "codes" / "9156.html").stat().st_size)
    assert abs(sizes[1] - sizes[0]) < 0.01 * sizes[0]
