"""What a report looks back on: usual levels, what to do first, checks that fail; and the geometry of its charts."""

import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest
from report_example import RUN_ID, Example, ExampleActor, ExampleExtract, refusal
from report_numbers import parse_page, read_page

from afstem.report import charts
from afstem.report.build import build_report
from afstem.report.contents import ReportData
from afstem.report.do_first import DO_FIRST, ToDo, Why, choose, why_findings
from afstem.report.nights import SUMMARY, ActorNight, Level, Night, read_nights, usual_levels, write_night
from afstem.report.pages import write_pages
from afstem.report.texts import read_texts
from afstem.report.trust import Check, Verdict, minutes_left, verdict
from afstem.rules import RULES, Family

MONDAY = date(2026, 11, 23)


def night(weeks: int, findings: int, actor: str = "kommune-3", *, days: int = 0, came: bool = True) -> Night:
    """The run of so many weeks and days before that Monday."""
    day = MONDAY - timedelta(weeks=weeks, days=days)
    numbers = ActorNight(came, 1000 * came, findings, {9156: findings})
    return Night(f"{day:%Y%m%d}T030000Z-abc{weeks:03}", day, {actor: numbers})


def report(folder: Path, past: list[Night], *, findings: int = 0, state: str = "applied", **more: str) -> ReportData:
    """The report of one actor that delivered one extract, with so many records to mend."""
    rejected = [refusal(number, "12", (9156, "too-short")) for number in range(1, findings + 1)]
    extract = ExampleExtract("kommune-3", "a.csv", "ab" * 32, rejected=rejected, others={"mobile": {"unchanged": 9}})
    if state == "refused":
        extract = replace(extract, rejected=(), others={}, state=state, code=1014, reason="gzip")
    actor = ExampleActor("kommune-3", "Lyngsted")
    actors, extracts = ([replace(actor, delivery=state)], []) if state == "nothing" else ([actor], [extract])
    example = Example(actors, extracts)
    run = example.write(folder)
    data = build_report(example.manifest(), run / "rejections", run / "notices", past, **more)
    write_pages(run, data)
    return data


# --- what is usual ----------------------------------------------------------------------------------------------------


def test_the_level_is_the_median_of_the_same_weekday() -> None:
    past = [night(weeks, findings) for weeks, findings in ((1, 10), (2, 30), (3, 20), (4, 500))]
    sundays = [night(weeks, 7000, days=1) for weeks in range(1, 9)]
    levels = usual_levels(sorted([*past, *sundays], key=lambda one: one.day, reverse=True), MONDAY, [9156])
    assert levels.of_actor["kommune-3", 9156] == Level(25, 10, 500)
    assert levels.of_code[9156] == levels.rejected == Level(25, 10, 500)
    assert levels.expected == {"kommune-3"}


def test_three_nights_say_nothing() -> None:
    assert usual_levels([night(weeks, 10) for weeks in (1, 2, 3)], MONDAY, [9156]).of_actor == {}


def test_only_the_last_eight_count() -> None:
    past = [night(weeks, 10) for weeks in range(1, 9)] + [night(weeks, 9000) for weeks in range(9, 50)]
    assert usual_levels(past, MONDAY, [9156]).of_actor["kommune-3", 9156].most == 10


def test_a_night_without_a_delivery_is_no_night_of_the_actor() -> None:
    past = [night(weeks, 10) for weeks in (1, 2, 3, 4)] + [night(weeks, 0, came=False) for weeks in (5, 6, 7, 8)]
    levels = usual_levels(past, MONDAY, [9156])
    assert levels.of_actor["kommune-3", 9156].usual == 10
    assert levels.expected == frozenset()  # it comes every other Monday


@pytest.mark.parametrize(("number", "leaves"), [(100, False), (124, False), (140, True), (126, False), (60, True)])
def test_a_number_leaves_its_level_only_outside_all_it_was_made_of(number: int, leaves: bool) -> None:
    assert Level(100, 70, 130).is_left_by(number) is leaves


def test_nights_are_kept_and_read_again(tmp_path: Path) -> None:
    kept = [night(weeks, weeks) for weeks in (0, 1, 2, 12)]
    for one in kept:
        (tmp_path / one.run_id).mkdir()
        write_night(tmp_path / one.run_id, one)
    damaged = tmp_path / "20261110T030000Z-abc123"
    damaged.mkdir()
    for content in ("", "[]", json.dumps({"run_id": "x"})):
        (damaged / SUMMARY).write_text(content)
        assert read_nights(tmp_path, kept[0].run_id, "Europe/Copenhagen") == kept[1:3]  # twelve weeks are too long ago
    (tmp_path / "20261111T030000Z-abc123").mkdir()  # a dry run leaves no summary
    assert read_nights(tmp_path, kept[0].run_id, "Europe/Copenhagen") == kept[1:3]


# --- what to do first -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("findings", "level", "why"),
    [
        (500, None, Why.NO_LEVEL),
        (19, Level(0, 0, 0), Why.USUAL),
        (20, Level(0, 0, 0), Why.NEW),
        (20, Level(0, 0, 3), Why.ABOVE),
        (30, Level(10, 8, 12), Why.ABOVE),
        (29, Level(10, 8, 12), Why.USUAL),
    ],
)
def test_why_findings_are_out_of_the_ordinary(findings: int, level: Level | None, why: Why) -> None:
    assert why_findings(findings, level) == why


def test_the_out_of_the_ordinary_comes_first_and_then_what_mends_most() -> None:
    usual = [ToDo(f"k{number}", Why.USUAL, number, number, 9156) for number in range(40)]
    above, refused = ToDo("a", Why.ABOVE, 21, 30, 9158), ToDo("b", Why.REFUSED, None, 1, 1014)
    chosen = choose([*usual, above, refused])
    assert chosen == (refused, above, *reversed(usual[-DO_FIRST + 2 :]))
    assert choose(usual[:1]) == ()  # it would mend nothing


def test_mending_counts_records_without_other_findings(tmp_path: Path) -> None:
    rejected = [
        refusal(1, "12", (9156, "too-short")),
        refusal(2, "12", (9156, "too-short")),
        refusal(3, "12", (1010, "unknown-citizen"), (9156, "too-short")),
        refusal(4, "12", (1010, "unknown-citizen"), (9156, "letters")),
    ]
    extract = ExampleExtract("kommune-3", "a.csv", "ab" * 32, rejected=rejected)
    other = ExampleExtract("kommune-3", "b.csv", "cd" * 32, rejected=[refusal(3, "12", (9156, "too-short"))])
    run = Example([ExampleActor("kommune-3", "Lyngsted")], [extract, other]).write(tmp_path)
    numbers = read_page(run / "codes" / "9156.html")
    assert numbers["code.9156.findings"] == 5
    assert numbers["code.9156.mendable"] == 3
    assert numbers["code.9156.reason.letters.mendable"] == 0
    numbers = read_page(run / "index.html")
    assert numbers["code.1010.mendable"] == 0
    assert numbers["actor.kommune-3.mendable.9156"] == 3


def test_what_follows_from_another_finding_is_mended_with_it(tmp_path: Path) -> None:
    unknown, not_authorized = (1010, "unknown-citizen"), (4575, "not-authorized")
    rejected = [
        refusal(1, "12", unknown, not_authorized),
        refusal(2, "12", unknown),
        refusal(3, "12", unknown, not_authorized, (9156, "too-short")),
        refusal(4, "12", not_authorized),
        refusal(5, "12", not_authorized, (9156, "too-short")),
    ]
    extract = ExampleExtract("kommune-3", "a.csv", "ab" * 32, rejected=rejected)
    run = Example([ExampleActor("kommune-3", "Lyngsted")], [extract]).write(tmp_path)
    numbers = read_page(run / "index.html")
    assert numbers["code.1010.mendable"] == 2
    assert numbers["code.4575.mendable"] == 1
    assert numbers["code.9156.mendable"] == 0
    assert numbers["mendable"] == 3


def test_a_rule_that_follows_from_another_follows_from_all_that_can_stand_before_it() -> None:
    """So where its finding is not primary, it follows."""
    for place, rule in enumerate(RULES):
        before = {other.code for other in RULES[:place] if other.predicate} - {*rule.silenced_by}
        assert rule.follows_from is None or before == {rule.follows_from}


# --- trust ------------------------------------------------------------------------------------------------------------


def test_the_verdict_is_the_worst_of_the_checks() -> None:
    good, bad, vital = Check("a", True), Check("b", False), Check("c", False, is_vital=True)
    assert verdict([good]) == Verdict.YES
    assert verdict([good, bad]) == Verdict.RESERVATIONS
    assert verdict([bad, vital]) == Verdict.NO


def test_who_usually_delivers_is_missed(tmp_path: Path) -> None:
    data = report(tmp_path, [night(weeks, 10) for weeks in range(1, 9)], state="nothing")
    assert ("expected", False, ("kommune-3",)) in [(one.slug, one.holds, one.actors) for one in data.checks]
    assert [(todo.why, todo.records) for todo in data.do_first] == [(Why.SILENT, 1000)]
    assert "Plejer at levere denne ugedag" in parse_page(tmp_path / RUN_ID / "index.html").text


def test_who_came_earlier_the_same_day_is_not_missed(tmp_path: Path) -> None:
    earlier = replace(night(0, 10), run_id="20261123T010000Z-abc123")
    data = report(tmp_path, [earlier, *(night(weeks, 10) for weeks in range(1, 9))], state="nothing")
    assert ("expected", True) in [(one.slug, one.holds) for one in data.checks]


def test_a_run_that_read_nothing_is_not_to_be_used(tmp_path: Path) -> None:
    data = report(tmp_path, [], state="refused")
    assert data.verdict == Verdict.NO
    assert any("brug ikke tallene" in text for text in parse_page(tmp_path / RUN_ID / "index.html").text)


@pytest.mark.parametrize(("deadline", "slug"), [("07:30", "deadline"), ("04:11", "late")])
def test_the_deadline_is_met_or_the_first_line_says_so(tmp_path: Path, deadline: str, slug: str) -> None:
    data = report(tmp_path, [], deadline=deadline)
    assert slug in [one.slug for one in data.checks]
    assert data.verdict == (Verdict.YES if slug == "deadline" else Verdict.RESERVATIONS)


@pytest.mark.parametrize(
    ("started", "minutes"),
    [
        ("2026-11-23T03:00:00+01:00", 210),
        ("2026-11-22T23:00:00+01:00", 450),
        ("2026-11-23T08:00:00+01:00", -90),
        ("2026-03-29T01:00:00+01:00", 270),  # the night that loses an hour
    ],
)
def test_a_run_before_noon_is_for_the_same_morning(started: str, minutes: int) -> None:
    began = datetime.fromisoformat(started)
    assert minutes_left(began, began + timedelta(hours=1), "07:30", "Europe/Copenhagen") == minutes


def test_compared_with_the_actors_own_level(tmp_path: Path) -> None:
    data = report(tmp_path, [night(weeks, 10) for weeks in range(1, 9)], findings=30)
    assert [(todo.why, todo.records) for todo in data.do_first] == [(Why.ABOVE, 30)]
    assert data.above == ("kommune-3",)
    text = "".join(parse_page(tmp_path / RUN_ID / "index.en.html").text)
    assert "3 times its own level (10)" in text
    assert "▲ +200%" in text
    assert len(data.nights) == 9


# --- charts -----------------------------------------------------------------------------------------------------------


def test_every_family_has_a_word_and_a_colour() -> None:
    style = files("afstem").joinpath("report", "templates", "style.css").read_text()
    for family in (*Family, charts.OTHER):
        assert family in read_texts("texts.toml")["family"]
        assert f".f-{family}{{" in style


def test_a_code_without_a_rule_is_of_no_family() -> None:
    assert charts.family_of(9156) == Family.CONTACT
    assert charts.family_of(9999) == charts.OTHER


def test_columns_stand_within_the_picture_and_show_their_numbers() -> None:
    nights = [night(weeks, findings) for weeks, findings in ((3, 0), (2, 61), (1, 118_000), (0, 7))]
    columns = charts.stacked_columns(nights)
    assert [sum(row.values()) for _, row in columns.rows] == [0, 61, 118_000, 7]
    assert len(columns.bars) == 3
    for bar in columns.bars:
        assert charts.LEFT <= bar.x <= bar.x + bar.width <= charts.WIDTH
        assert 0 <= bar.y <= bar.y + bar.height <= charts.HEIGHT - charts.BOTTOM + 0.5
    assert columns.ticks[0][1] == 0
    assert columns.ticks[-1][1] >= 118_000
    assert columns.ticks[-1][0] >= 0


def test_charts_of_nothing() -> None:
    assert charts.stacked_columns([night(0, 0)]).bars == ()
    assert charts.spark([]) == ""
    assert charts.spark([0, 0]) == "0,19 100,19"
    assert charts.spark([0, 5, 10]) == "0,19 50,10 100,1"


def test_what_is_nobodys_move_is_not_to_be_done(tmp_path: Path) -> None:
    rejected = [refusal(number, "12", (4405, "citizen-is-dead")) for number in range(1, 101)]
    rejected.append(refusal(101, "12", (9156, "too-short")))
    extract = ExampleExtract("kommune-3", "a.csv", "ab" * 32, rejected=rejected)
    run = Example([ExampleActor("kommune-3", "Lyngsted")], [extract]).write(tmp_path)
    numbers = read_page(run / "index.html")
    assert numbers["code.4405.findings"] == 100
    assert numbers["code.4405.mendable"] == 0
    assert numbers["mendable"] == numbers["actor.kommune-3.mendable.9156"] == 1
    assert "actor.kommune-3.mendable.4405" not in numbers
    assert "Ingen" in parse_page(run / "codes" / "4405.html").text
