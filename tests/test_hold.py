"""Held extracts (SPEC 5.4) where a page of cases cannot show them: exact limits, release, reports, receipts."""

import json
import shutil
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from case_pages import AS_OF, HOLD_CITIZENS, HoldStory, extract_of_counts, write_hold_story
from hypothesis import given
from hypothesis import strategies as st
from report_numbers import parse_page, read_page
from whole_run import read_store

from afstem import clock, pipeline
from afstem.errors import UsageError
from afstem.hold import HoldReason, reasons_to_hold
from afstem.settings import HoldSettings, load_settings
from afstem.store import Store

counts = st.integers(0, 2_000_000)
shares = st.integers(0, 10_000).map(lambda parts: parts / 10_000)


@given(st.data(), counts, shares, shares, shares, st.none() | counts)
def test_a_share_is_compared_exactly(
    data: st.DataObject, records: int, removal: float, rejected: float, drop: float, last: int | None
) -> None:
    """As fractions would be, also where a share is the limit itself."""

    def near(limit: float, whole: int) -> st.SearchStrategy[int]:
        edge = int(Fraction(str(limit)) * whole)
        return st.integers(max(0, edge - 1), min(whole, edge + 1)) | st.integers(0, whole)

    limits = HoldSettings(min_records=100, removal_share=removal, rejected_share=rejected, volume_drop=drop)
    if last is not None:
        records = data.draw(st.just(records) | near(1 - drop, last))
    removals, refused = data.draw(near(removal, records)), data.draw(near(rejected, records))
    expected = {
        HoldReason.REMOVALS: removals > Fraction(str(removal)) * records,
        HoldReason.REJECTED: refused > Fraction(str(rejected)) * records,
        HoldReason.VOLUME_DROP: last is not None and records < (1 - Fraction(str(drop))) * last,
    }
    found = reasons_to_hold(records, removals, refused, last, limits)
    assert [excess.reason for excess in found] == [
        reason for reason, holds in expected.items() if holds and records >= 100
    ]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    write_hold_story(tmp_path / "workspace", HoldStory("", ""))
    pipeline.load_reference(tmp_path / "workspace" / "afstem.toml", tmp_path / "workspace" / "reference")
    return tmp_path / "workspace"


def deliver(workspace: Path, file: str, *of: int, actor: str = "kommune-a") -> Path:
    """A file of so many records, removals, rejected and unreadable ones."""
    path = workspace / "extracts" / actor / file
    path.write_bytes(extract_of_counts(path.stem[0], *of))
    return path


def run(workspace: Path, *release: str, **asked: Any) -> dict[str, Any]:
    return pipeline.run(pipeline.Request(workspace / "afstem.toml", as_of=AS_OF, release=release, **asked))


def states(summary: dict[str, Any]) -> dict[str, str]:
    return {extract["file"]: extract["state"] for extract in summary["extracts"]}


def id_of(summary: dict[str, Any], file: str) -> str:
    (extract_id,) = {extract["id"] for extract in summary["extracts"] if extract["file"] == file}
    return str(extract_id)


def test_a_held_extract_changes_nothing_and_says_why_everywhere(workspace: Path) -> None:
    deliver(workspace, "a.csv", 300, 0, 0, 0)
    run(workspace)
    contacts = read_store(workspace)
    deliver(workspace, "b.csv", 140, 65, 40, 35)
    summary = run(workspace)
    assert read_store(workspace) == contacts
    assert summary["status"] == "completed-with-refusals"
    assert states(summary) == {"a.csv": "already-applied", "b.csv": "held"}
    assert summary["outcomes"] == {"applied": 0, "unchanged": 0, "superseded": 0, "held": 65, "rejected": 75}
    report = Path(summary["report"])
    manifest = json.loads((report / "run.json").read_text())
    (told,) = [extract for extract in manifest["extracts"] if extract["state"] == "held"]
    assert (told["records"], told["removals"], told["outcomes"]) == (140, 65, summary["outcomes"])
    assert [tuple(excess.values()) for excess in told["hold"]] == [
        ("removals", 65, 140, 0.1),
        ("rejected", 75, 140, 0.5),
        ("volume-drop", 160, 300, 0.5),
    ]
    receipt = json.loads((report / "receipts" / "kommune-a" / "receipt.json").read_text())
    (returned,) = [extract for extract in receipt["extracts"] if extract["state"] == "held"]
    said = [excess["text"] for excess in returned["hold"]]
    assert len((report / "receipts" / "kommune-a" / "rejected.csv").read_text().splitlines()) == 1 + 75
    assert len(pd.read_parquet(report / "rejections")) == 75
    for page in ("index", "actors/kommune-a"):
        for language in ("da", "en"):
            path = report / f"{page}{'' if language == 'da' else '.en'}.html"
            text = "".join(parse_page(path).text)
            assert all(sentence[language] in text for sentence in said)
            assert told["sha256"][:8] in text
    assert read_page(report / "index.html")["extracts_held"] == 1
    assert read_page(workspace / "reports" / "index.html")[f"run.{summary['run_id']}.held"] == 65
    store = Store.open(load_settings(workspace / "afstem.toml").store_url)
    assert [held.extract_id for held in store.held_extracts()] == [told["extract_id"]]


def test_the_last_run_is_the_last_whatever_the_clock_says(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now()
    for file, records, hours in (("a.csv", 300, 2), ("b.csv", 200, 1), ("c.csv", 99, 1), ("d.csv", 101, 0)):
        monkeypatch.setattr(clock, "now", lambda hours=hours: now + timedelta(hours=hours))
        deliver(workspace, file, records, 0, 0, 0)
        summary = run(workspace)
    assert set(states(summary).values()) == {"already-applied", "applied"}  # d is compared with c
    deliver(workspace, "e.csv", 100, 0, 0, 0)
    deliver(workspace, "f.csv", 400, 0, 0, 0)
    assert set(states(run(workspace)).values()) == {"already-applied", "applied"}
    deliver(workspace, "g.csv", 199, 0, 0, 0)
    assert states(run(workspace))["g.csv"] == "held"  # against f, the larger one of that run


def test_a_release_is_once_and_by_a_name_that_means_one_extract(workspace: Path) -> None:
    deliver(workspace, "a.csv", 200, 100, 0, 0)
    deliver(workspace, "a.csv", 200, 100, 0, 0, actor="kommune-b")
    first = run(workspace)
    ids = [extract["id"] for extract in first["extracts"]]
    digest = ids[0].rpartition("-")[2]
    for asked, actors, message in (
        (("kommune-a-000000000000",), None, "is not a held extract; held are: kommune-a-"),
        ((digest[:7],), None, "is not a held extract"),
        ((digest,), None, "may be any of kommune-a-.*: give the whole id"),
        ((ids[0],), ("kommune-b",), "its actor, kommune-a, is not in this run"),
        ((ids[0], "x"), None, "^x is not a held extract"),
    ):
        with pytest.raises(UsageError, match=message):
            run(workspace, *asked, actors=actors)
    released = run(workspace, ids[0], ids[0])
    assert [extract["state"] for extract in released["extracts"]] == ["applied", "held"]
    assert (released["outcomes"]["applied"], released["outcomes"]["held"]) == (100, 200)
    page = "".join(parse_page(Path(released["report"]) / "index.html").text)
    assert "Frigivet og læst" in page
    with pytest.raises(UsageError, match="is not a held extract"):
        run(workspace, ids[0])
    assert [extract["state"] for extract in run(workspace, digest[:8])["extracts"]] == ["already-applied", "applied"]
    with pytest.raises(UsageError, match="held are: none"):
        run(workspace, digest)


def test_a_release_needs_no_source(workspace: Path) -> None:
    """The actor's folder is gone: it is unavailable, and what was pulled before is let through."""
    deliver(workspace, "a.csv", 200, 100, 0, 0)
    extract_id = id_of(run(workspace), "a.csv")
    shutil.rmtree(workspace / "extracts" / "kommune-a")
    summary = run(workspace, extract_id)
    assert summary["unavailable"] == ["kommune-a"]
    assert states(summary) == {"a.csv": "applied"}
    assert summary["outcomes"]["applied"] == 100


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"other")], ids=["gone", "altered"])
def test_what_is_no_longer_landed_cannot_be_released(workspace: Path, spoil: Any) -> None:
    source = deliver(workspace, "a.csv", 200, 100, 0, 0)
    extract_id = id_of(run(workspace), "a.csv")
    content = source.read_bytes()
    source.unlink()
    (landed,) = (workspace / "var" / "landing" / "kommune-a").glob("*.csv")
    spoil(landed)
    before = read_store(workspace)
    with pytest.raises(UsageError, match="is no longer in the landing zone: have it delivered again"):
        run(workspace, extract_id)
    assert read_store(workspace) == before
    source.write_bytes(content)
    assert states(run(workspace, extract_id)) == {"a.csv": "applied"}


def test_the_order_of_release_decides_nothing(workspace: Path, tmp_path: Path) -> None:
    """Held and released after a newer one has come: the store is what it would be had nothing been held (SPEC 5.3)."""
    other = Path(shutil.copytree(workspace, tmp_path / "other"))
    with (other / "afstem.toml").open("a") as settings:
        settings.write("removal_share = 1\n")
    for folder in (workspace, other):
        deliver(folder, "a.csv", 200, 100, 0, 0)
        first = run(folder)
        deliver(folder, "b.csv", 150, 5, 0, 0)
        run(folder)
    assert states(first) == {"a.csv": "applied"}
    run(workspace, id_of(first, "a.csv"))
    held, not_held = ({key: row[0] for key, row in read_store(folder)[0].items()} for folder in (workspace, other))
    assert held == not_held
    assert sum(value is None for value in held.values()) == 5
    assert len(held) == 200


def test_findings_of_a_held_extract_are_remembered_night_by_night(workspace: Path) -> None:
    deliver(workspace, "a.csv", 200, 0, 150, 0)
    first = run(workspace)
    second = run(workspace)
    released = run(workspace, id_of(first, "a.csv"))
    for summary, nights in ((first, 1), (second, 2), (released, 3)):
        rejections = pd.read_parquet(Path(summary["report"]) / "rejections")
        assert len(rejections) == 150
        assert set(rejections["first_seen_run"]) == {first["run_id"]}
        assert set(rejections["runs_seen"]) == {nights}


def test_rejected_removals_are_removals(workspace: Path) -> None:
    """Of strangers, and of a contact type that is none: whoever asks for so many has lost a column."""
    lines = ["personnummer;kontaktdatatype;kontaktdata"]
    lines += [f"{citizen};{'1' if number > 10 else '9'};" for number, citizen in enumerate(HOLD_CITIZENS[:11])]
    lines += [f"{citizen};1;26100{number:03}" for number, citizen in enumerate(HOLD_CITIZENS[11:100])]
    (workspace / "extracts" / "kommune-a" / "a.csv").write_text("\n".join(lines))
    summary = run(workspace)
    assert summary["outcomes"]["rejected"] == 11
    assert states(summary) == {"a.csv": "held"}
