"""Records that were rejected come back: the next report tells which are mended, still failing, not back, and new."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from openpyxl import load_workbook
from report_numbers import read_page
from whole_run import load_and_run, run_again

from afstem.masking import CROWDS, crowds
from afstem.sample import write_workspace
from afstem.schema import NAMED_COLUMNS

ACTOR = "jobcenter-01100"
GOOD = {"1": "20123456", "2": "33123456", "3": "a@example.com"}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    write_workspace(tmp_path, citizens=600, actors=6, dirty=0.4, seed=5)
    return tmp_path


def receipt(summary: dict[str, Any], actor: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(
        (Path(summary["report"]) / "receipts" / actor / "receipt.json").read_text(encoding="utf-8")
    )
    assert {extract["state"] for extract in told["extracts"]} & {"applied", "held"}
    return told["since_last"]


def rejected_rows(summary: dict[str, Any], actor: str) -> tuple[list[str], list[dict[str, str]]]:
    """The rows of a receipt's workbook."""
    path = Path(summary["report"]) / "receipts" / actor / "rejected.xlsx"
    header, *rows = load_workbook(path).active.iter_rows(values_only=True)
    return list(header), [dict(zip(header, (cell or "" for cell in row), strict=True)) for row in rows]


def send(workspace: Path, actor: str, name: str, header: list[str], rows: list[dict[str, str]]) -> None:
    """Save rows as an extract in CSV, as a spreadsheet saves them."""
    path = workspace / "extracts" / actor / name
    with path.open("w", encoding="windows-1252", errors="backslashreplace", newline="") as file:
        writer = csv.DictWriter(file, header, delimiter=";")
        writer.writeheader()
        writer.writerows(rows)


def test_a_mended_workbook_sent_in_parts_is_told_of(workspace: Path) -> None:
    first = load_and_run(workspace)
    since = receipt(first, ACTOR)
    before = since.pop("new")
    assert before > 20
    assert not any(count for name, count in since.items() if name != "text")

    header, rows = rejected_rows(first, ACTOR)
    column = {name.strip().casefold(): name for name in header if name.strip().casefold() in NAMED_COLUMNS}
    # About a citizen and contact type of its own, and wrong in nothing but its value.
    own = [
        row
        for row in rows
        if row["codes"] in ("9156", "9157", "9158")
        and sum(other[column["personnummer"]] == row[column["personnummer"]] for other in rows) == 1
    ]
    assert len(own) >= 6
    mended, failing, later = own[:2], own[2:3], own[3:6]
    for row in mended + later:
        row[column["kontaktdata"]] = GOOD[row[column["kontaktdatatype"]].strip()]

    send(workspace, ACTOR, "rettet.csv", header, mended + failing)
    second = run_again(workspace)
    told = receipt(second, ACTOR)
    assert told["before"] == before
    assert (told["mended"], told["still_failing"], told["new"], told["mended_later"]) == (2, 1, 0, 0)
    assert told["not_returned"] == before - 3
    page = read_page(Path(second["report"]) / "actors" / f"{ACTOR}.en.html")
    assert page[f"actor.{ACTOR}.mended"] == 2
    assert page[f"actor.{ACTOR}.not_returned"] == before - 3

    # What comes some nights later is mended as well, and what was mended is not told of again.
    new = dict.fromkeys(header, "") | {column["personnummer"]: own[0][column["personnummer"]]}
    new |= {column["kontaktdatatype"]: "2", column["kontaktdata"]: "12", "fil": "x"}
    send(workspace, ACTOR, "rettet-2.csv", header, [*mended, *failing, *later, new])
    told = receipt(run_again(workspace), ACTOR)
    assert (told["before"], told["mended"], told["still_failing"], told["not_returned"]) == (1, 0, 1, 0)
    assert (told["new"], told["mended_later"]) == (1, 3)


def test_a_night_without_news_of_an_actor_tells_nothing(workspace: Path) -> None:
    load_and_run(workspace)
    second = run_again(workspace)
    told = json.loads((Path(second["report"]) / "receipts" / ACTOR / "receipt.json").read_text(encoding="utf-8"))
    assert {extract["state"] for extract in told["extracts"]} == {"already-applied"}
    assert told["since_last"] is None
    assert "h-since" not in (Path(second["report"]) / "actors" / f"{ACTOR}.html").read_text(encoding="utf-8")


def test_a_citizen_has_one_crowd_of_many() -> None:
    numbers = np.array([-1, 0, 101901234, 101901234 + CROWDS, 9_999_999_999], np.int64)
    told = crowds(numbers)
    assert told.type == pa.int32()
    assert told.to_pylist() == [None, 0, 101901234 % CROWDS, 101901234 % CROWDS, 9_999_999_999 % CROWDS]
