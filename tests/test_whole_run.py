"""The program and the reference over whole workspaces: every finding, outcome, refusal, receipt and stored contact."""

import csv
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import reference
from whole_run import AS_OF, load_and_run, read_store, run_again, started_at, what_happened, what_is_expected

from afstem import decode, pipeline, settlement
from afstem.sample import write_workspace
from afstem.sample.signed import USER, Signer
from afstem.sign import sign_file
from afstem.signing_keys import SigningKey


@pytest.fixture(params=[1, 2], ids=["seed 1", "seed 2"])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    write_workspace(folder, citizens=600, actors=12, dirty=0.3, seed=request.param)
    return folder


def test_program_and_reference_agree(workspace: Path) -> None:
    summary = load_and_run(workspace)
    expected = reference.run(workspace, AS_OF, started_at(summary))
    assert what_happened(workspace, summary) == what_is_expected(expected)


def test_same_extracts_again_change_nothing(workspace: Path) -> None:
    first = load_and_run(workspace)
    before = read_store(workspace)
    second = run_again(workspace)
    assert read_store(workspace) == before
    assert second["records"] == 0
    states = {(extract["id"], extract["state"]) for extract in second["extracts"]}
    assert {state for _, state in states} == {"already-applied", "refused"}
    assert {extract_id for extract_id, state in states if state == "refused"} == {
        extract["id"] for extract in first["extracts"] if extract["state"] == "refused"
    }


def test_order_batches_and_ranges_decide_nothing(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same files under other names, actors in another order, tiny batches, many ranges: the same verdicts."""
    as_usual = what_happened(workspace, load_and_run(workspace))
    other = tmp_path / "other"
    shuffle(workspace, other)
    monkeypatch.setattr(decode, "DEFAULT_BATCH_BYTES", 700)
    monkeypatch.setattr(settlement, "RECORDS_PER_RANGE", 40)
    otherwise = what_happened(other, load_and_run(other))
    assert otherwise.records == as_usual.records
    assert otherwise.history == as_usual.history
    # Without registreret the time is that of the run, which two runs do not share.
    assert {place: row[0] for place, row in otherwise.contacts.items()} == {
        place: row[0] for place, row in as_usual.contacts.items()
    }


def shuffle(workspace: Path, other: Path) -> None:
    """A copy of a workspace with its actors and their files in another order."""
    order = random.Random(5)
    places: dict[str, int] = {}
    for path in sorted(workspace.rglob("*")):
        inside = path.relative_to(workspace)
        if path.is_dir() or inside.parts[0] in ("var", "reports"):
            continue
        name = path.name
        if inside.parts[0] == "extracts":
            place = places.setdefault(str(path).removesuffix(".jwt"), order.randrange(10**6))  # a manifest goes along
            name = f"{place:06}-{name}" if not name.startswith(".") else name
        (other / inside).parent.mkdir(parents=True, exist_ok=True)
        (other / inside).with_name(name).write_bytes(path.read_bytes())
    actors = (other / "actors.toml").read_text().split("[[actor]]")
    head, tables = actors[0], actors[1:]
    order.shuffle(tables)
    (other / "actors.toml").write_text(head + "".join("[[actor]]" + table.rstrip() + "\n\n" for table in tables))


def test_split_over_two_runs_ends_in_the_same_store(workspace: Path, tmp_path: Path) -> None:
    """Half of the actors tonight, the others tomorrow: the store holds what one run would have left, where the records
    say themselves when they were registered."""
    summary = load_and_run(workspace)
    together = read_store(workspace)[0]
    first_pulled = started_at(summary)
    other = tmp_path / "other"
    shuffle(workspace, other)
    pipeline.load_reference(other / "afstem.toml", other / "reference")
    actors = sorted(path.name for path in (other / "extracts").iterdir())
    run_again(other, actors=tuple(actors[::2]))
    run_again(other, actors=tuple(actors[1::2]))
    apart = read_store(other)[0]
    assert apart.keys() == together.keys()
    timed = {place for place, row in together.items() if row[1] != first_pulled}
    assert len(timed) > 100
    differing = {place for place in timed if apart[place] != together[place]}
    # A record without registreret takes the time of the run that first pulled it, so it may win where it did not.
    assert all(apart[place][1] > first_pulled for place in differing)


def test_receipts_hold_the_rejected_records_as_submitted(workspace: Path) -> None:
    summary = load_and_run(workspace)
    expected = reference.run(workspace, AS_OF, started_at(summary))
    encodings = {actor.id: actor.encoding for actor in reference.read_actors(workspace / "actors.toml", workspace)}
    delivered = {extract.actor for extract in expected.extracts}
    for actor in delivered:
        folder = Path(summary["report"]) / "receipts" / actor
        with (folder / "rejected.csv").open(encoding=encodings[actor], newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter=";"))
        rejected = {
            (record.file, record.record_no): record.codes
            for record in expected.records
            if record.actor == actor and record.outcome == "rejected"
        }
        told = {(row["fil"], int(row["record_no"])): [int(code) for code in row["codes"].split()] for row in rows}
        assert told == rejected
        receipt = json.loads((folder / "receipt.json").read_text())
        assert receipt["outcomes"]["rejected"] == len(rejected)


def test_mended_receipt_is_an_extract(tmp_path: Path) -> None:
    """What comes back in a receipt can be sent again as it is: the same verdicts, for the same records."""
    workspace = tmp_path / "workspace"
    write_workspace(workspace, citizens=600, actors=12, dirty=0.3, seed=3)
    first = load_and_run(workspace)
    before = what_happened(workspace, first)
    for folder in (Path(first["report"]) / "receipts").iterdir():
        again = workspace / "extracts" / folder.name / "again.csv"
        again.write_bytes((folder / "rejected.csv").read_bytes())
        if folder.name == "a-kasse-02":
            sign_file(again, folder.name, USER, SigningKey(Signer(folder.name, 3, AS_OF).key(USER), "EdDSA"), "utf-8")
    second = run_again(workspace)
    after = what_happened(workspace, second)
    assert second["outcomes"]["rejected"] == second["records"]

    def codes(records: list) -> dict[str, list[tuple[int, ...]]]:
        readable = [record for record in records if record[4] == "rejected" and record[5] != (1014,)]
        return {actor: sorted(r[5] for r in readable if r[0] == actor) for actor in {r[0] for r in readable}}

    assert codes(after.records) == codes(before.records)


def test_dry_run_leaves_the_store_as_it_is(workspace: Path) -> None:
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    before = read_store(workspace)
    dry = run_again(workspace, dry_run=True)
    assert read_store(workspace) == before
    real = run_again(workspace)
    keys = ("records", "outcomes", "findings", "extracts", "unavailable")
    assert {key: dry[key] for key in keys} == {key: real[key] for key in keys}


def test_reference_reads_the_replaced_codelist_and_permissions_too(workspace: Path) -> None:
    """The data files decide: another codelist and another matrix give other verdicts, in both."""
    config = workspace / "afstem.toml"
    config.write_text(
        config.read_text().replace("[paths]", '[paths]\ncodelist = "codes.toml"\npermissions = "matrix.toml"')
    )
    (workspace / "codes.toml").write_text('[codes]\n"1" = "landline"\n"2" = "mobile"\n"4" = "email"\n')
    (workspace / "matrix.toml").write_text(
        '[allowed]\na-kasse = ["alle borgere"]\njobcenter = ["gæsteadgang"]\n'
        'anden-aktoer = ["anden aktør - egne borgere"]\nsystem = ["system - alle borgere"]\n'
    )
    (workspace / "reference" / "contacts.csv").unlink(missing_ok=True)
    (workspace / "reference" / "contacts.parquet").unlink(missing_ok=True)
    summary = load_and_run(workspace)
    expected = reference.run(workspace, AS_OF, started_at(summary))
    assert what_happened(workspace, summary) == what_is_expected(expected)
    shipped = reference.run(
        workspace, AS_OF, started_at(summary), codelist=reference.CODELIST, permissions=reference.PERMISSIONS
    )
    assert what_is_expected(replace(shipped)).records != what_is_expected(expected).records
