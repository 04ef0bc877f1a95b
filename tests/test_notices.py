"""The notices: in columns as one record at a time, on the case pages, from files to the report; never rejecting."""

import csv
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
import reference
from case_pages import (
    AS_OF,
    PAGES,
    STARTED_AT,
    Case,
    load_lines,
    reference_rows,
    synthetic_cpr,
    write_reference,
    write_workspace,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from report_numbers import parse_page, read_page
from strategies import danish_numbers, email_texts, phone_texts

from afstem import clock, cpr_number, email_domains, masking, modulus_11, pipeline, shared_values
from afstem.check import check_file
from afstem.errors import RunError
from afstem.explain import explain_code
from afstem.report.build import build_report
from afstem.rules import NOTICES, SHARED_VALUE
from afstem.schema import ContactType
from afstem.text_keys import NO_TEXT, text_keys
from afstem.value_formats import VALUE_FORMATS

WORLD = reference.World(AS_OF, STARTED_AT)
CODE_OF = {ContactType.MOBILE: "1", ContactType.LANDLINE: "2", ContactType.EMAIL: "3"}


@pytest.fixture(autouse=True)
def _at_the_time_of_the_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: STARTED_AT)


def noticed_in_columns(records: list[tuple[str, ContactType, str | None]]) -> list[set[str]]:
    """The notices of accepted records (CPR number, contact type, stored value), by the predicates."""
    found: list[set[str]] = [set() for _ in records]
    for notice in NOTICES:
        if notice.predicate is None:
            continue
        places = [place for place, (_, kind, value) in enumerate(records) if notice.looks_at in (None, kind)]
        asked = [records[place] for place in places]
        if notice.looks_at is None:
            holds = notice.predicate(np.array([int(number) for number, _, _ in asked], np.int64))
        else:
            holds = notice.predicate(pa.array([value or "" for _, _, value in asked], pa.string()))
        for place in np.array(places, np.int64)[holds].tolist():
            found[place].add(notice.code)
    return found


numbers = st.integers(0, 20_000).map(synthetic_cpr) | st.just("0202575005")
near_domains = st.sampled_from([*reference.COMMON_DOMAINS, *reference.OTHER_PROVIDERS, "live.dk", "me.com"]).flatmap(
    lambda domain: st.integers(0, len(domain) - 1).flatmap(
        lambda at: st.sampled_from(
            [
                domain,
                domain[:at] + domain[at + 1 :],
                domain[:at] + "x" + domain[at:],
                domain[:at] + "ø" + domain[at + 1 :],
                domain[:at] + domain[at + 1 : at + 2] + domain[at] + domain[at + 2 :],
            ]
        )
    )
)
with_numbers = st.text(st.sampled_from("020790123167-_.５a"), min_size=8, max_size=18)
emails = st.one_of(
    email_texts,
    st.builds("{}@{}".format, st.sampled_from(["anna", "a.b", "æ", "gmial.com"]), near_domains),
    st.builds("{}@example.com".format, with_numbers),
    st.builds("a@{}.example.com".format, with_numbers),
)
values = st.one_of(
    st.tuples(st.sampled_from([ContactType.MOBILE, ContactType.LANDLINE]), phone_texts | danish_numbers),
    st.tuples(st.just(ContactType.EMAIL), emails),
    st.tuples(st.sampled_from(list(ContactType)), st.just("")),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(numbers, values), min_size=1, max_size=12))
def test_columns_agree_with_the_reference(batch: list[tuple[str, tuple[ContactType, str]]]) -> None:
    told: list[tuple[str, ContactType, str | None]] = []
    expected: list[set[str]] = []
    for number, (contact_type, text) in batch:
        record = reference.Record(1, number, CODE_OF[contact_type], text)
        stored = reference.stored_value(record, WORLD)
        if stored is not None or not text.strip():  # else it is rejected
            told.append((number, contact_type, stored))
            expected.append(set(reference.notices(record, WORLD)))
    assert noticed_in_columns(told) == expected


@pytest.mark.parametrize("page", ["N1", "N2", "N4", "N5"])
def test_the_page_of_a_notice(page: str) -> None:
    lines = [line.cells for line in load_lines(PAGES / f"{page}.csv")]
    told = []
    for place, cells in enumerate(lines):
        number = synthetic_cpr(place) if cells["personnummer"] == "*" else cells["personnummer"]
        record = reference.Record(1, number, cells["kontaktdatatype"], cells["kontaktdata"])
        assert (page in reference.notices(record, WORLD)) == (cells["notice"] == "yes"), cells["why"]
        contact_type = ContactType[reference.CODELIST[cells["kontaktdatatype"]].upper()]
        told.append((reference.cpr_number(number), contact_type, reference.stored_value(record, WORLD)))
    found = noticed_in_columns(told)
    assert [page in of for of in found] == [cells["notice"] == "yes" for cells in lines]
    assert {"yes", "no"} == {cells["notice"] for cells in lines}


def case(name: str, number: str, code: str, value: str, codes: list[int] | None = None) -> Case:
    return Case(name, number, code, value, "", "", ["own"], "kommune", codes or [], "")


OWN_VALUE = {"1": "2612{}", "2": "3312{}", "3": "own-{}@example.com"}


def report_of(workspace: Path) -> Path:
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    return Path(pipeline.run(pipeline.Request(workspace / "afstem.toml", as_of=AS_OF))["report"])


def notices_of(report: Path) -> list[dict]:
    table = ds.dataset(report / "notices", partitioning="hive").to_table()
    return table.sort_by([("code", "ascending"), ("record_no", "ascending")]).to_pylist()


def test_the_page_of_shared_values(tmp_path: Path) -> None:
    """All lines at once, through the whole program: what many have is counted over the run and the store."""
    lines = [line.cells for line in load_lines(PAGES / "N3.csv")]
    people = iter(range(10_000))
    cases, held, expected, holders = [], [], [], []
    for cells in lines:
        value, code = cells["kontaktdata"], cells["kontaktdatatype"]
        for _ in range(int(cells["in the run"])):
            cases.append(case(value, synthetic_cpr(next(people)), code, value))
            expected.append(cells["notice"] == "yes")
            holders.append((value, cases[-1].personnummer))
        for _ in range(int(cells["in the store"])):
            place = next(people)
            held.append((synthetic_cpr(place), code, value, "2020-01-01T00:00:00Z", "kommune-1"))
            cases.append(case("another", synthetic_cpr(place), code, OWN_VALUE[code].format(5_000 + place)))
            expected.append(False)
            holders.append((value, synthetic_cpr(place)))
    write_workspace(tmp_path, cases)
    write_reference(tmp_path, reference_rows(cases), held)
    report = report_of(tmp_path)
    shared = {row["record_no"]: row["citizens"] for row in notices_of(report) if row["code"] == "N3"}
    assert [place in shared for place in range(1, len(cases) + 1)] == expected
    many = reference.shared_values(holders)
    assert shared == {place: many[of.kontaktdata] for place, of in enumerate(cases, 1) if of.kontaktdata in many}
    told = reference.run(tmp_path, AS_OF, STARTED_AT)
    assert ["N3" in record.notices for record in told.records] == expected


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([None, "a@b.dk", "+4526123456", "+4526123457", "x"]), st.integers(0, 25)),
        max_size=80,
    ),
    st.integers(1, 4),
)
def test_shared_values_are_those_counted_one_by_one(pairs: list[tuple[str | None, int]], parts: int) -> None:
    values = pa.array([value for value, _ in pairs], pa.string())
    citizens = np.array([citizen for _, citizen in pairs], np.int64)
    expected = reference.shared_values((value, str(citizen)) for value, citizen in pairs if value)
    counts = shared_values.citizens_with_value(values, citizens)
    assert counts.tolist() == [expected.get(value, 0) for value, _ in pairs]
    keys = text_keys(values)
    edges = [len(pairs) * part // parts for part in range(parts + 1)]
    crowds = shared_values.Crowds(len(keys))
    for begin, end in pairwise(edges):
        crowds.count(keys[begin:end])
    at = np.concatenate([begin + crowds.suspects(keys[begin:end]) for begin, end in pairwise(edges)])
    assert set(np.flatnonzero(counts)) <= set(at)
    assert (shared_values.citizens_with_value(values.take(pa.array(at)), citizens[at]) == counts[at]).all()


TEXTS = st.none() | st.text("ab@.æ", max_size=40) | st.text("a", max_size=40)


@given(st.lists(TEXTS, max_size=30), st.integers(0, 3))
def test_equal_texts_have_one_key_wherever_they_stand(texts: list[str | None], dropped: int) -> None:
    keys = text_keys(pa.array([*["behind"] * dropped, *texts], pa.string()).slice(dropped)).tolist()
    for text, key in zip(texts, keys, strict=True):
        alone = text_keys(pa.array(["other", text], pa.string())).tolist()[1]
        assert key == alone
        assert (key == NO_TEXT) == (not text)


def test_addresses_and_numbers_have_keys_of_their_own() -> None:
    texts = [f"+45{number}" for number in range(20_000_000, 20_050_000)]
    texts += [f"anna.{number}.jensen@example.com" for number in range(50_000)]
    assert len(np.unique(text_keys(pa.array(texts)))) == len(texts)


def test_modulus_11_by_table_is_modulus_11() -> None:
    drawn = np.random.default_rng(11).integers(0, 3_112_999_999, 100_000)
    numbers = np.concatenate([np.arange(1_000), drawn, np.array([3_112_999_999])])
    assert (modulus_11.fail_modulus_11(numbers) == cpr_number.fails_modulus_11(numbers)).all()


# --- from files to the report ---------------------------------------------------------------------------------------

SWITCHBOARD = "33 12 34 56"


@pytest.fixture
def noticed(tmp_path: Path) -> tuple[Path, Path]:
    """A workspace in which every notice is taken, and its report."""
    people = [synthetic_cpr(place) for place in range(40)]
    cases = [
        case("N1", people[0], "2", "34 21 23 45"),
        case("N2", people[1], "3", "anna@gmial.com"),
        case("N5", people[2], "3", "020790-1231@example.com"),
        case("rejected", people[3], "3", "ingen", [9158]),
        *(case("N3", number, "2", SWITCHBOARD) for number in people[10:22]),
        case("both", people[22], "2", SWITCHBOARD),
    ]
    write_workspace(tmp_path, cases)
    return tmp_path, report_of(tmp_path)


def test_notices_are_counted_and_reject_nothing(noticed: tuple[Path, Path]) -> None:
    _, report = noticed
    manifest = json.loads((report / "run.json").read_text())
    expected = {"N1": 1, "N2": 1, "N3": 13, "N4": 16, "N5": 1}
    assert manifest["notices"] == manifest["actors"][0]["notices"] == manifest["extracts"][0]["notices"] == expected
    assert manifest["outcomes"]["rejected"] == 1
    rows = notices_of(report)
    assert Counter(row["code"] for row in rows) == expected
    by_code = {row["code"]: row for row in rows if row["code"] != "N4"}
    assert (by_code["N2"]["record_no"], by_code["N2"]["value"]) == (2, "aaaa@aaaaa.aaa")
    assert by_code["N2"]["suggestion"] == "gmail.com"
    assert by_code["N3"]["citizens"] == 13
    assert all(row["value"] is None for row in rows if row["code"] == "N4")
    receipt = json.loads((report / "receipts" / "kommune-1" / "receipt.json").read_text())
    assert {notice["code"]: notice["records"] for notice in receipt["notices"]} == expected


def test_nothing_of_an_accepted_value_leaves_the_store(noticed: tuple[Path, Path]) -> None:
    _, report = noticed
    values = ("34212345", "34 21 23 45", "33123456", SWITCHBOARD, "gmial", "020790-1231", "0207901231")
    for path in report.rglob("*"):
        if path.is_file() and "receipts" not in path.parts:
            content = path.read_bytes().decode("latin-1")
            assert not any(value in content for value in values), path.name
    rows = str(notices_of(report))
    assert not any(value in rows for value in (*values, "9056", "anna"))
    assert "-xxxx" in rows


def test_the_actor_is_told_which_records(noticed: tuple[Path, Path]) -> None:
    _, report = noticed
    with (report / "receipts" / "kommune-1" / "notices.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file, delimiter=";", strict=True))
    assert Counter(line["code"] for line in lines) == {"N1": 1, "N2": 1, "N3": 13, "N4": 16, "N5": 1}
    [misspelt] = [line for line in lines if line["code"] == "N2"]
    assert (misspelt["fil"], misspelt["record_no"]) == ("cases.jsonl", "2")
    assert misspelt["forslag"].startswith("Måske @gmail.com. ")
    assert all(line["forklaring"] and line["ansvarlig"] and line["forslag"] for line in lines)


@pytest.mark.parametrize("ending", [".html", ".en.html"])
def test_pages_say_what_the_manifest_says(noticed: tuple[Path, Path], ending: str) -> None:
    _, report = noticed
    first = read_page(report / f"index{ending}")
    for code, count in {"N1": 1, "N2": 1, "N3": 13, "N4": 16, "N5": 1}.items():
        assert first[f"notice.{code}.noticed"] == count
        page = read_page(report / "codes" / f"{code}{ending}")
        assert page[f"notice.{code}.records"] == page[f"notice.{code}.actor.kommune-1.records"] == count
    text = "".join(parse_page(report / "codes" / f"N2{ending}").text)
    assert "gmail.com" in text
    assert "gmial" not in text


def test_a_manifest_that_disagrees_stops_the_run(noticed: tuple[Path, Path]) -> None:
    _, report = noticed
    for change in (
        lambda manifest: manifest["notices"].update(N1=2),
        lambda manifest: manifest["actors"][0]["notices"].update(N3=1),
        lambda manifest: manifest["extracts"][0]["notices"].update(N5=0),
    ):
        manifest = json.loads((report / "run.json").read_text())
        build_report(manifest, report / "rejections", report / "notices")
        change(manifest)
        with pytest.raises(RunError):
            build_report(manifest, report / "rejections", report / "notices")


def test_so_many_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    records = 1_100
    cases = [case("", synthetic_cpr(place), "2", SWITCHBOARD) for place in range(records)]
    write_workspace(tmp_path, cases)
    report = report_of(tmp_path)
    assert json.loads((report / "run.json").read_text())["notices"] == {"N3": records, "N4": records}
    rows = notices_of(report)
    kept = {notice.code: notice.rows_kept for notice in NOTICES}
    assert kept["N4"] < kept["N3"] < records
    for code in ("N3", "N4"):
        assert [row["record_no"] for row in rows if row["code"] == code] == list(range(1, kept[code] + 1))


def test_a_run_without_a_notice_has_a_dataset_without_rows(tmp_path: Path) -> None:
    write_workspace(tmp_path, [case("", "0202575005", "1", "26123456")])
    assert notices_of(report_of(tmp_path)) == []


# --- without a store ------------------------------------------------------------------------------------------------


def test_check_takes_notice_of_what_needs_no_store(tmp_path: Path) -> None:
    lines = [f"{synthetic_cpr(place)};2;{SWITCHBOARD}" for place in range(12)]
    lines += [f"{synthetic_cpr(20)};3;anna@gmial.com", f"{synthetic_cpr(21)};3;anna@gmial,com"]
    file = tmp_path / "mine.csv"
    file.write_text("\n".join(["personnummer;kontaktdatatype;kontaktdata", *lines]), "utf-8")
    told = check_file(file, "utf-8", None)
    assert told["notices"] == {"N2": 1, "N3": 12, "N4": 13}
    assert told["first"] == [{"record_no": 14, "code": 9158, "reason": "comma-for-dot", "suggestion": "dot-for-comma"}]
    (tmp_path / "broken.csv").write_text("")
    assert check_file(tmp_path / "broken.csv", "utf-8", None)["notices"] == {}


def test_every_notice_is_explained_in_both_languages() -> None:
    for notice in NOTICES:
        told = explain_code(notice.code.lower())
        assert told["plain_da"] == notice.plain.da
        assert told["fix_en"]
        for text in (notice.plain.da, notice.fix.da):
            text.encode("iso-8859-1")
    assert [notice for notice in NOTICES if notice.predicate is None] == [SHARED_VALUE]
    assert {path.stem for path in PAGES.glob("N*.csv")} == {notice.code for notice in NOTICES}


def test_the_lists_of_domains_are_those_of_the_reference() -> None:
    listed = {domain for domain in email_domains.very_common() if len(domain) >= email_domains.SHORTEST_MISSPELT}
    assert listed == set(reference.COMMON_DOMAINS)
    assert set(email_domains._listed()["own_right"]) == set(reference.OTHER_PROVIDERS)
    for domain in (*listed, *reference.OTHER_PROVIDERS):
        form = f"a@{domain}"
        assert VALUE_FORMATS[ContactType.EMAIL].normalise(pa.array([form]))[0].as_py() == form


def test_an_accepted_value_is_shown_without_its_letters_and_digits() -> None:
    assert masking.display_accepted("+4526123456") == "+••••••••••"
    assert masking.display_accepted("Anna.1@gmail.com") == "Aaaa.#@gmail.com"
    assert masking.display_accepted("anna@gmial.com") == "aaaa@aaaaa.aaa"
