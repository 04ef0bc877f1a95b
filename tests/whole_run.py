"""Run the real program over a workspace, and read back everything that it made, in the words of the reference."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import reference
import sqlalchemy as sa

from afstem import pipeline
from afstem.settings import load_settings

AS_OF = date(2026, 11, 23)


@dataclass
class Happened:
    """What one run of the program made of a workspace; the same things as `reference.Expected`, comparable with ==."""

    extracts: list[tuple[str, str, str, int | None]]
    """(actor, file, state, code)"""
    ids: list[str]
    """The extract ids of the same"""
    records: list[tuple[str, str, int, str | None, str, tuple[int, ...]]]
    """(actor, extract id, record_no, contact type, outcome, codes with the primary one first)"""
    contacts: dict[tuple[str, str], tuple[str | None, datetime | None, str]]
    history: set[tuple[str, str, str | None, str | None, str, str, int]]
    unavailable: list[str]


def load_and_run(workspace: Path, reference_folder: str = "reference") -> dict[str, Any]:
    """Load the reference data of a workspace and run over it; the summary of the run."""
    pipeline.load_reference(workspace / "afstem.toml", workspace / reference_folder)
    return run_again(workspace)


def run_again(workspace: Path, **asked: Any) -> dict[str, Any]:
    return pipeline.run(pipeline.Request(workspace / "afstem.toml", as_of=AS_OF, **asked))


def what_happened(workspace: Path, summary: dict[str, Any]) -> Happened:
    """Read the files and the store that a run left."""
    report = Path(summary["report"])
    codes: dict[tuple[str, int], list[tuple[bool, int]]] = {}
    refused: dict[str, int] = {}
    for finding in ds.dataset(report / "rejections", partitioning="hive").to_table().to_pylist():
        if finding["record_no"] is None:
            refused[finding["extract_id"]] = finding["code"]
        else:
            place = (finding["extract_id"], finding["record_no"])
            codes.setdefault(place, []).append((not finding["is_primary"], finding["code"]))
    records = []
    for outcome in ds.dataset(report / "outcomes").to_table().to_pylist():
        found = sorted(codes.pop((outcome["extract_id"], outcome["record_no"]), []), key=lambda pair: in_order(pair[1]))
        assert [primary for primary, _ in found] == [False] + [True] * (len(found) - 1) if found else True
        assert outcome["primary_code"] == (found[0][1] if found else None)
        records.append(
            (
                outcome["actor"],
                outcome["extract_id"],
                outcome["record_no"],
                outcome["contact_type"],
                outcome["outcome"],
                tuple(code for _, code in found),
            )
        )
    assert not codes, "findings about records without an outcome"
    contacts, history = read_store(workspace)
    extracts = sorted(summary["extracts"], key=lambda extract: (extract["actor"], extract["file"]))
    return Happened(
        extracts=[
            (
                extract["actor"],
                extract["file"],
                extract["state"],
                refused.get(extract["id"]) if extract["state"] == "refused" else None,
            )
            for extract in extracts
        ],
        ids=[extract["id"] for extract in extracts],
        records=sorted(records, key=lambda record: record[:3]),
        contacts=contacts,
        history=history,
        unavailable=sorted(summary["unavailable"]),
    )


def in_order(code: int) -> int:
    return reference.ORDER.index(code)


def what_is_expected(expected: reference.Expected) -> Happened:
    ids = {(extract.actor, extract.sha256): extract.extract_id for extract in expected.extracts}
    extracts = sorted(expected.extracts, key=lambda extract: (extract.actor, extract.file))
    return Happened(
        extracts=[(extract.actor, extract.file, extract.state, extract.code) for extract in extracts],
        ids=[extract.extract_id for extract in extracts],
        records=sorted(
            (
                (
                    record.actor,
                    ids[record.actor, record.sha256],
                    record.record_no,
                    record.contact_type,
                    record.outcome,
                    tuple(record.codes),
                )
                for record in expected.records
            ),
            key=lambda record: record[:3],
        ),
        contacts=dict(expected.store),
        history={
            (
                change.personnummer,
                change.contact_type,
                change.before,
                change.after,
                change.actor,
                ids[change.actor, change.sha256],
                change.record_no,
            )
            for change in expected.history
        },
        unavailable=sorted(expected.unavailable),
    )


def read_store(workspace: Path) -> tuple[dict[Any, Any], set[Any]]:
    """``contacts`` and ``contact_history`` as anybody would read them with SQL (SPEC 5.2), as of one moment."""
    engine = sa.create_engine(load_settings(workspace / "afstem.toml").store_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        # Or a run that commits between the two is seen in the second only.
        is_sqlite = connection.dialect.name == "sqlite"
        connection.execute(sa.text("BEGIN" if is_sqlite else "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        contacts = {
            (number, contact_type): (value, instant(registered_at), actor)
            for number, contact_type, value, registered_at, actor in connection.execute(
                sa.text("SELECT personnummer, contact_type, value, registered_at, actor FROM contacts")
            )
        }
        rows = connection.execute(
            sa.text(
                "SELECT personnummer, contact_type, before, after, actor, extract_id, record_no FROM contact_history"
            )
        ).all()
        history = {tuple(row) for row in rows}
        assert len(history) == len(rows)
    return contacts, history


def instant(moment: str | datetime | None) -> datetime | None:
    """SQLite answers a text, PostgreSQL an instant."""
    if moment is None:
        return None
    moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def started_at(summary: dict[str, Any]) -> datetime:
    """When a run began, to the microsecond: from its manifest."""
    return datetime.fromisoformat(json.loads((Path(summary["report"]) / "run.json").read_text())["started_at"])
