"""A suggestion is acceptable where what was submitted is not, there is one way only, and it is never applied."""

from pathlib import Path

import pyarrow.dataset as ds
import pytest
import reference
from case_pages import AS_OF, PAGES, Case, Line, load_lines, write_workspace
from hypothesis import given, settings
from hypothesis import strategies as st
from report_example import Example, ExampleActor, ExampleExtract, refusal
from strategies import cpr_texts, email_texts, phone_texts

from afstem import cpr_number, pipeline
from afstem.email_domains import SHORTEST_MISSPELT, is_one_slip_from, meant, very_common
from afstem.schema import ContactType
from afstem.suggestions import KINDS, for_cpr_numbers, for_values
from afstem.value_formats import VALUE_FORMATS

ACCEPTS = {
    "mobile": reference.mobile_number,
    "landline": reference.landline_number,
    "email": reference.email_address,
    "personnummer": reference.cpr_number,
}
BECOMES = {"is-mobile": "mobile", "is-landline": "landline", "is-email": "email"}


def refused(kind: str, text: str) -> bool:
    return text != "" and ACCEPTS[kind](text) is None


def reason_and_suggestion(kind: str, text: str) -> tuple[str, tuple[str, str] | None]:
    """Why a (trimmed) text is refused as this kind, and what is suggested: kind of suggestion and value."""
    if kind == "personnummer":
        reason = cpr_number.reason(text)
        [found] = for_cpr_numbers([text], [reason])
    else:
        contact_type = ContactType[kind.upper()]
        reason = VALUE_FORMATS[contact_type].reason(text)
        [found] = for_values(contact_type, [text], [reason])
    return reason, found and (found.kind, found.value)


@pytest.mark.parametrize("line", load_lines(PAGES / "reasons.csv"), ids=lambda line: line.name)
def test_the_page_of_reasons(line: Line) -> None:
    cells = line.cells
    assert refused(cells["kind"], cells["value"])
    reason, found = reason_and_suggestion(cells["kind"], cells["value"])
    assert reason == cells["reason"], cells["why"]
    assert (found or ("", "")) == (cells["suggestion"], cells["value suggested"]), cells["why"]


def test_the_page_shows_every_kind_of_suggestion() -> None:
    assert {line.cells["suggestion"] for line in load_lines(PAGES / "reasons.csv")} == KINDS | {""}


texts = st.one_of(
    st.tuples(st.sampled_from(["mobile", "landline"]), phone_texts),
    st.tuples(st.just("email"), email_texts),
    st.tuples(st.just("personnummer"), cpr_texts),
    st.tuples(
        st.sampled_from(list(ACCEPTS)), st.text(st.sampled_from("0123456789 +-.,@<>OIl()æ\u200b\t５"), max_size=16)
    ),
)


@settings(max_examples=600, deadline=None)
@given(texts)
def test_what_is_suggested_is_accepted_and_what_was_submitted_is_not(submitted: tuple[str, str]) -> None:
    kind, text = submitted[0], submitted[1].strip()
    if not refused(kind, text):
        return
    _, found = reason_and_suggestion(kind, text)
    if found:
        assert ACCEPTS[BECOMES.get(found[0], kind)](found[1]) == found[1]
        assert found[0] in KINDS


def test_values_asked_for_together_get_what_they_get_alone() -> None:
    lines = [line.cells for line in load_lines(PAGES / "reasons.csv") if line.cells["kind"] == "email"]
    values, reasons = ([line[name] for line in lines] for name in ("value", "reason"))
    together = for_values(ContactType.EMAIL, values, reasons)
    alone = [for_values(ContactType.EMAIL, [line["value"]], [line["reason"]])[0] for line in lines]
    assert together == alone
    assert any(together)


def test_the_receipt_says_the_value_and_the_rejections_only_its_kind(tmp_path: Path) -> None:
    def case(name: str, number: str, code: str, value: str, codes: list[int]) -> Case:
        return Case(name, number, code, value, "", "", ["own"], "kommune", codes, "")

    write_workspace(
        tmp_path,
        [
            case("zero", "207901234", "1", "26123456", [1001]),
            case("comma", "0207901234", "3", "anna@example,com", [9158]),
            case("both", "207901234", "1", "45 45 26 12 34 56", [1001, 9156]),
            case("none", "0207901234", "1", "ingen", [9156]),
        ],
    )
    pipeline.load_reference(tmp_path / "afstem.toml", tmp_path / "reference")
    report = Path(pipeline.run(pipeline.Request(tmp_path / "afstem.toml", as_of=AS_OF))["report"])
    rows = ds.dataset(report / "rejections", partitioning="hive").to_table().sort_by("record_no").to_pylist()
    assert [
        (row["record_no"], row["code"], row["suggestion"]) for row in rows if row["code"] in (1001, 9156, 9158)
    ] == [
        (1, 1001, "leading-zero"),
        (2, 9158, "dot-for-comma"),
        (3, 1001, "leading-zero"),
        (3, 9156, "country-code-once"),
        (4, 9156, None),
    ]
    lines = (report / "receipts" / "kommune-1" / "rejected.csv").read_text("utf-8").splitlines()
    told = ["0207901234", "anna@example.com", "+4526123456"]
    assert [[text for text in told if f"Måske {text}:" in line] for line in lines[1:]] == [
        told[:1],
        told[1:2],
        [told[0], told[2]],
        [],
    ]
    others = [path for path in report.rglob("*") if path.is_file() and "receipts" not in path.parts]
    for path in others:
        assert not any(text.encode() in path.read_bytes() for text in told), path.name
    assert not any(text in str(rows) for text in told)


def test_a_receipt_without_suggestions_is_as_before(tmp_path: Path) -> None:
    extract = ExampleExtract("k", "a.csv", "ab" * 32, rejected=[refusal(1, "x", (9156, "letters"))])
    run = Example([ExampleActor("k", "K")], [extract]).write(tmp_path)
    assert "Måske" not in (run / "receipts" / "k" / "rejected.csv").read_text("utf-8")


# --- domains --------------------------------------------------------------------------------------------------------


def slips(text: str) -> set[str]:
    """Every text one slip away, by making them all; the alphabet is small, which is no loss for a neighbour."""
    ends = [(text[:at], text[at:]) for at in range(len(text) + 1)]
    letters = "abmg.-1ø"
    made = {a + b[1:] for a, b in ends if b} | {a + letter + b for a, b in ends for letter in letters}
    made |= {a + letter + b[1:] for a, b in ends if b for letter in letters}
    made |= {a + b[1] + b[0] + b[2:] for a, b in ends if len(b) > 1}
    return made - {text}


@given(st.text("abmg.", max_size=7), st.text("abmg.", max_size=7))
def test_one_slip_is_one_slip(text: str, other: str) -> None:
    assert is_one_slip_from(text, other) == (other in slips(text))


def test_what_is_meant_by_a_domain() -> None:
    assert meant("gmial.com") == meant("gmail.con") == meant("gmal.com") == meant("ggmail.com") == "gmail.com"
    assert meant("gmail.com") is meant("mail.com") is meant("hotmail.de") is meant("example.com") is meant("") is None
    for common in very_common():
        for domain in slips(common):
            near = {other for other in very_common() if is_one_slip_from(domain, other)}
            near = {other for other in near if len(other) >= SHORTEST_MISSPELT}
            assert meant(domain) in {None, *near}
            assert meant(domain) is None or len(near) == 1


def test_a_listed_domain_is_never_a_misspelling() -> None:
    listed = sorted(very_common())
    assert all(meant(domain) is None for domain in listed)
    assert all(domain == domain.lower() for domain in listed)
