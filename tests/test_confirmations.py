"""A full extract repeats itself every night: nothing is written for it, and nothing that was said is forgotten."""

import hashlib
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from whole_run import load_and_run, run_again, started_at

from afstem import pipeline
from afstem.settings import load_settings

NUMBERS = ("0502011234", "2902041234")
"""On two days of birth, so that they are settled and confirmed apart. Modulus 11 fails for both."""

FIRST, SECOND, OTHER = "21100001", "21100002", "21100003"
SAID_AT = "2026-01-05T12:00:00"


@pytest.fixture
def workspace(tmp_path: Path, store_url: str) -> Path:
    (tmp_path / "afstem.toml").write_text(
        f'[store]\nurl = "{store_url}"\n[paths]\nactors = "actors.toml"\nlanding = "landing"\nreports = "reports"\n'
    )
    actors = "\n".join(
        f'[[actor]]\nid = "{actor}"\nname = "{actor}"\ntype = "star"\nsource = "{actor}"' for actor in "ab"
    )
    (tmp_path / "actors.toml").write_text(actors)
    reference = tmp_path / "reference"
    reference.mkdir()
    citizens = "".join(f"{number};01\n" for number in NUMBERS)
    (reference / "citizens.csv").write_text(f"personnummer;status\n{citizens}")
    load_contacts(tmp_path, [])
    for actor in "ab":
        (tmp_path / actor).mkdir()
    return tmp_path


def load_contacts(workspace: Path, rows: list[str]) -> None:
    lines = ["personnummer;kontaktdatatype;kontaktdata;registreret;actor", *rows]
    (workspace / "reference" / "contacts.csv").write_text("\n".join(lines))
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")


def deliver(workspace: Path, value: str, note: str, actor: str = "a", registered: str = SAID_AT) -> Path:
    """Both citizens' mobile numbers, in a file whose bytes the note makes its own."""
    lines = "".join(f"{number};1;{value};{registered};{note}\n" for number in NUMBERS)
    file = workspace / actor / "kontaktdata.csv"
    file.write_text(f"personnummer;kontaktdatatype;kontaktdata;registreret;reference\n{lines}")
    return file


def pulled_before(workspace: Path, file: Path, moment: datetime) -> None:
    """The file was pulled for the first time by a run that failed."""
    landing = workspace / "landing" / "a"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    (landing / f"{digest}.json").write_text(json.dumps({"first_pulled_at": moment.isoformat()}))


def contacts(workspace: Path) -> list[tuple[Any, ...]]:
    """What anybody can read, of both citizens."""
    engine = sa.create_engine(load_settings(workspace / "afstem.toml").store_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text("SELECT * FROM contacts ORDER BY personnummer"))]


def values(workspace: Path) -> list[str]:
    return [row[2] for row in contacts(workspace)]


def test_a_repetition_changes_nothing_that_can_be_read(workspace: Path) -> None:
    deliver(workspace, FIRST, "first")
    assert load_and_run(workspace)["outcomes"]["applied"] == 2
    stored = contacts(workspace)
    for night in range(3):
        deliver(workspace, FIRST, f"again {night}")
        assert run_again(workspace)["outcomes"]["unchanged"] == 2
        assert contacts(workspace) == stored


@pytest.mark.parametrize("repeated", [True, False])
def test_a_repetition_decides_a_later_tie(workspace: Path, repeated: bool) -> None:
    """Between two values of the same time the extract that was created later wins, whichever run receives it."""
    deliver(workspace, FIRST, "first")
    first = load_and_run(workspace)
    if repeated:
        deliver(workspace, FIRST, "again")
        run_again(workspace)
    late = deliver(workspace, OTHER, "between the two")
    pulled_before(workspace, late, started_at(first) + timedelta(microseconds=1))
    outcome = "superseded" if repeated else "applied"
    assert run_again(workspace)["outcomes"][outcome] == 2
    assert values(workspace) == [f"+45{FIRST if repeated else OTHER}"] * 2


def test_what_is_said_anew_is_no_longer_confirmed(workspace: Path) -> None:
    deliver(workspace, FIRST, "first")
    first = load_and_run(workspace)
    deliver(workspace, FIRST, "again")
    run_again(workspace)
    deliver(workspace, SECOND, "news", registered="2026-01-06T12:00:00")
    run_again(workspace)
    # Older than the news, though its extract was created later than the confirmation.
    deliver(workspace, FIRST, "once more")
    assert run_again(workspace)["outcomes"]["superseded"] == 2
    late = deliver(workspace, OTHER, "late news", registered="2026-01-06T12:00:00")
    pulled_before(workspace, late, started_at(first) + timedelta(microseconds=1))
    assert run_again(workspace)["outcomes"]["superseded"] == 2
    assert values(workspace) == [f"+45{SECOND}"] * 2


@pytest.mark.parametrize(("actor", "registered"), [("b", SAID_AT), ("a", "2026-01-05T12:00:00.000001")])
def test_another_actor_or_time_is_written(workspace: Path, actor: str, registered: str) -> None:
    deliver(workspace, FIRST, "first")
    load_and_run(workspace)
    stored = contacts(workspace)
    (workspace / "a" / "kontaktdata.csv").unlink()
    deliver(workspace, FIRST, "again", actor, registered)
    summary = run_again(workspace)
    assert summary["outcomes"]["unchanged"] == 2
    changed = contacts(workspace)
    assert [row[2] for row in changed] == [row[2] for row in stored]
    assert {row[4] for row in changed} == {actor}
    assert {row[6] for row in changed} == {summary["run_id"]}
    assert (changed[0][3] != stored[0][3]) == (registered != SAID_AT)


def test_a_loaded_contact_that_was_confirmed_outlives_the_next_load(workspace: Path) -> None:
    loaded = [f"{NUMBERS[0]};1;{FIRST};{SAID_AT};a", f"{NUMBERS[1]};1;{OTHER};{SAID_AT};a"]
    load_contacts(workspace, loaded)
    deliver(workspace, FIRST, "confirms the one, replaces the other")
    outcomes = run_again(workspace)["outcomes"]
    assert (outcomes["unchanged"], outcomes["applied"]) == (1, 1)
    load_contacts(workspace, [f"{number};1;{SECOND};2030-01-01;b" for number in NUMBERS])
    assert values(workspace) == [f"+45{FIRST}"] * 2
    # And it is as old as the extract that confirmed it.
    deliver(workspace, OTHER, "older", registered="2026-01-05T11:59:59")
    assert run_again(workspace)["outcomes"]["superseded"] == 2
