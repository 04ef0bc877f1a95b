"""Every counter of the balance is broken in turn: the run must refuse to commit, and change and publish nothing.

The control is the same fault with the checks taken out: the run then commits, and what it published or stored disagrees
with what it told.
"""

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from whole_run import run_again

from afstem import balance, cli, intake, pipeline, settlement, taking_in
from afstem.errors import RunError
from afstem.report import build, folder, outcomes, receipts, rejections
from afstem.sample import write_workspace
from afstem.schema import Change, Outcome

Patch = pytest.MonkeyPatch
Fault = Callable[[Patch, Path], None]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small workspace in which every outcome and every change occurs, with its reference data loaded."""
    workspace = tmp_path_factory.mktemp("balance") / "workspace"
    write_workspace(workspace, citizens=150, actors=6, dirty=0.2, seed=1)
    with (workspace / "afstem.toml").open("a") as settings:
        settings.write("[hold]\nmin_records = 10\nremoval_share = 0.2\n")
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    return workspace


@pytest.fixture(scope="module")
def undisturbed(loaded: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    summary = run_again(copy_of(loaded, tmp_path_factory.mktemp("undisturbed")))
    manifest: dict[str, Any] = json.loads((Path(summary["report"]) / "run.json").read_text())
    return manifest


def copy_of(workspace: Path, parent: Path) -> Path:
    return Path(shutil.copytree(workspace, parent / "workspace"))


# --- the faults -----------------------------------------------------------------------------------------------------


def settled(change: Callable[[settlement.Settled], None]) -> Fault:
    """What is counted while it is settled."""

    def fault(patch: Patch, _: Path) -> None:
        settle = settlement.settle_run

        def wrongly(*arguments: Any) -> settlement.Settled:
            result = settle(*arguments)
            change(result)
            return result

        patch.setattr(settlement, "settle_run", wrongly)

    return fault


def one_more(counts: Counter[Any], word: str, by: int = 1) -> None:
    counts[next(key for key in sorted(counts, key=str) if key[2] == word)] += by


def told_as(counts: Counter[Any], word: str, other: str) -> None:
    """One that is of this kind counts as another: the sum is right."""
    key = next(key for key in sorted(counts, key=str) if key[2] == word)
    counts[key] -= 1
    counts[*key[:2], other] += 1


def of_another_type(counts: Counter[Any]) -> None:
    extract_id, _, word = next(key for key in sorted(counts, key=str) if key[1] == "mobile")
    counts[extract_id, "mobile", word] -= 1
    counts[extract_id, "email", word] += 1


def judged(**wrong: Callable[[intake.ExtractSummary], Any]) -> Fault:
    """What is counted while records are judged."""

    def fault(patch: Patch, _: Path) -> None:
        validate = intake.validate_extract

        def wrongly(*arguments: Any) -> intake.ExtractSummary:
            summary = validate(*arguments)
            if not summary.tallies:
                return summary
            return replace(summary, **{name: change(summary) for name, change in wrong.items()})

        patch.setattr(taking_in, "validate_extract", wrongly)

    return fault


def first_tally(**more: int) -> Callable[[intake.ExtractSummary], Any]:
    def change(summary: intake.ExtractSummary) -> tuple[intake.Tally, ...]:
        first, *others = summary.tallies
        return (replace(first, **{name: getattr(first, name) + by for name, by in more.items()}), *others)

    return change


def a_line_lost(patch: Patch, _: Path) -> None:
    """A record that the reader loses: the last one of every batch."""
    opened = intake.open_extract

    class Losing:
        def __init__(self, reader: Any) -> None:
            self._reader = reader

        def __getattr__(self, name: str) -> Any:
            return getattr(self._reader, name)

        def batches(self) -> Iterator[pa.Table]:
            return (batch.slice(0, len(batch) - 1) for batch in self._reader.batches())

    patch.setattr(intake, "open_extract", lambda *arguments: Losing(opened(*arguments)))


def published_outcome(outcome: str, become: str | None) -> Fault:
    """The first outcome of its kind is lost on its way into the report, or becomes another one."""

    def fault(patch: Patch, _: Path) -> None:
        hit = iter([True])

        def copy_wrongly(source: Path, target: Path) -> None:
            table = pq.read_table(source)
            at = pc.index(table["outcome"].cast(pa.string()), outcome).as_py()
            if at >= 0 and next(hit, False):
                rows = table.to_pylist()
                if become is None:
                    del rows[at]
                else:
                    rows[at]["outcome"] = become
                table = pa.Table.from_pylist(rows, table.schema)
            pq.write_table(table, target)

        patch.setattr(outcomes.shutil, "copyfile", copy_wrongly)

    return fault


def a_finding_lost(patch: Patch, _: Path) -> None:
    """The last finding of one code is lost in the rejections."""
    write = rejections.write_rejections

    def write_wrongly(where: Path, *arguments: Any) -> None:
        write(where, *arguments)
        path = sorted(where.glob("code=*/*.parquet"))[-1]
        with pq.ParquetFile(path) as file:
            table = file.read()
        pq.write_table(table.slice(0, len(table) - 1), path)

    patch.setattr(folder, "write_rejections", write_wrongly)


def a_receipt_lost(patch: Patch, _: Path) -> None:
    """The last rejected record of every extract is lost on its way into the receipt."""
    read = folder.read_batches
    patch.setattr(folder, "read_batches", lambda path: (batch.slice(0, len(batch) - 1) for batch in read(path)))


def in_the_store(what: str) -> Fault:
    """A trigger in the database itself, about one row of the history; it is rolled back with the run."""

    def fault(patch: Patch, workspace: Path) -> None:
        with sqlite3.connect(workspace / "var" / "afstem.db") as store:
            store.execute("CREATE TABLE fault_hit (once INTEGER)")
            store.execute(f"CREATE TRIGGER fault {what}")
        store.close()

    return fault


ONCE = "ON history_rows WHEN NOT EXISTS (SELECT 1 FROM fault_hit) {} BEGIN INSERT INTO fault_hit VALUES (1); {} END"
ANOTHER = "INSERT INTO history_rows (contact, before, after, extract_no, record_no) VALUES ({});"

FAULTS: dict[str, Fault] = {
    **{f"settled: one {outcome} more": settled(lambda s, o=outcome: one_more(s.outcomes, o)) for outcome in Outcome},
    **{
        f"settled: one {outcome} less": settled(lambda s, o=outcome: one_more(s.outcomes, o, -1)) for outcome in Outcome
    },
    "settled: unchanged told as superseded": settled(lambda s: told_as(s.outcomes, "unchanged", "superseded")),
    "settled: applied told as unchanged": settled(lambda s: told_as(s.outcomes, "applied", "unchanged")),
    "settled: held told as superseded": settled(lambda s: told_as(s.outcomes, "held", "superseded")),
    "settled: an outcome of another type": settled(lambda s: of_another_type(s.outcomes)),
    **{f"settled: one {change} more": settled(lambda s, c=change: one_more(s.changes, c)) for change in Change},
    "settled: removed told as replaced": settled(lambda s: told_as(s.changes, "removed", "replaced")),
    "settled: a change of another type": settled(lambda s: of_another_type(s.changes)),
    "judged: one accepted more": judged(tallies=first_tally(accepted=1)),
    "judged: one rejected more": judged(tallies=first_tally(rejected=1)),
    "judged: accepted told as rejected": judged(tallies=first_tally(accepted=-1, rejected=1)),
    "judged: one record more": judged(records=lambda summary: summary.records + 1),
    "decoded: a record lost": a_line_lost,
    **{f"published: one {outcome} lost": published_outcome(outcome, None) for outcome in Outcome},
    "published: held becomes applied": published_outcome("held", "applied"),
    "published: unchanged becomes superseded": published_outcome("unchanged", "superseded"),
    "published: a finding lost": a_finding_lost,
    "published: a rejected record lost in a receipt": a_receipt_lost,
    "stored: a history row lost": in_the_store("BEFORE INSERT " + ONCE.format("", "SELECT RAISE(IGNORE);")),
    "stored: a history row twice": in_the_store(
        "AFTER INSERT "
        + ONCE.format("", ANOTHER.format("NEW.contact, NEW.before, NEW.after, NEW.extract_no, NEW.record_no"))
    ),
    "stored: a new value lost in the history": in_the_store(
        "BEFORE INSERT "
        + ONCE.format(
            "AND NEW.after IS NOT NULL",
            ANOTHER.format("NEW.contact, NEW.before, NULL, NEW.extract_no, NEW.record_no") + " SELECT RAISE(IGNORE);",
        )
    ),
}

EVERYDAY_CONTROLS = (
    "settled: one applied more",
    "published: held becomes applied",
    "published: a finding lost",
    "stored: a history row lost",
)


def without_the_checks(patch: Patch) -> None:
    """The naive variant: nobody counts again."""
    for room, check in (
        (balance, "check_balance"),
        (balance, "check_store"),
        (outcomes, "_check"),
        (build, "check_manifest"),
        (build, "check_findings"),
        (receipts, "_check"),
        (intake, "check_physical_records"),
    ):
        patch.setattr(room, check, lambda *_: None)


# --- the runs -------------------------------------------------------------------------------------------------------


def test_every_outcome_and_every_change_is_there_to_be_broken(undisturbed: dict[str, Any]) -> None:
    assert all(undisturbed["outcomes"].values())
    assert all(sum(row[change] for row in undisturbed["changes"]) for change in Change)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_counter_stops_the_run(fault: str, loaded: Path, tmp_path: Path, monkeypatch: Patch) -> None:
    workspace = copy_of(loaded, tmp_path)
    with monkeypatch.context() as patch:
        FAULTS[fault](patch, workspace)
        before = (workspace / "var" / "afstem.db").read_bytes()
        with pytest.raises(RunError) as refused:
            run_again(workspace)
    assert refused.value.exit_code == 1
    assert (workspace / "var" / "afstem.db").read_bytes() == before
    assert [path for path in (workspace / "reports").iterdir() if not path.name.startswith(".")] == []


@pytest.mark.parametrize(
    "fault",
    [pytest.param(fault, marks=() if fault in EVERYDAY_CONTROLS else pytest.mark.soak) for fault in FAULTS],
)
def test_control_the_same_fault_gets_through_where_nobody_counts_again(
    fault: str, loaded: Path, tmp_path: Path, monkeypatch: Patch
) -> None:
    workspace = copy_of(loaded, tmp_path)
    with monkeypatch.context() as patch:
        FAULTS[fault](patch, workspace)
        without_the_checks(patch)
        summary = run_again(workspace)
    assert (Path(summary["report"]) / "index.html").is_file()
    with sqlite3.connect(workspace / "var" / "afstem.db") as store:
        assert store.execute("SELECT count(*) FROM contact_history").fetchone()[0] > 100
    store.close()


def test_the_command_says_so_and_the_next_run_is_whole(
    loaded: Path, undisturbed: dict[str, Any], tmp_path: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = copy_of(loaded, tmp_path)
    monkeypatch.chdir(workspace)
    monkeypatch.setattr("sys.argv", ["afstem", "run", "--as-of", "2026-11-23"])
    with monkeypatch.context() as patch:
        FAULTS["settled: one unchanged less"](patch, workspace)
        with pytest.raises(SystemExit) as done:
            cli.main()
    assert done.value.code == 1
    assert "the balance is off" in capsys.readouterr().err
    assert [path.name for path in (workspace / "reports").iterdir()] == []
    assert run_again(workspace)["outcomes"] == undisturbed["outcomes"]


# --- every counter there is, one by one -----------------------------------------------------------------------------


def test_no_counter_can_be_off_by_one(loaded: Path, tmp_path: Path, monkeypatch: Patch) -> None:
    """The checks themselves, with every single counter of a run one too many, and one too few."""
    kept: dict[str, Any] = {}
    settle, check_store, publish = settlement.settle_run, balance.check_store, outcomes.count_outcomes
    monkeypatch.setattr(settlement, "settle_run", lambda *asked: kept.setdefault("settled", settle(*asked)))
    monkeypatch.setattr(
        balance, "check_store", lambda counted, changes: check_store(kept.setdefault("stored", counted), changes)
    )
    monkeypatch.setattr(outcomes, "count_outcomes", lambda where: kept.setdefault("published", publish(where)))
    summaries = pipeline.Run.extracts
    monkeypatch.setattr(pipeline.Run, "extracts", lambda run: kept.setdefault("extracts", summaries(run)))
    summary = run_again(copy_of(loaded, tmp_path))
    manifest = json.loads((Path(summary["report"]) / "run.json").read_text())
    extracts = intake.were_read(kept["extracts"])
    broken = 0
    for by in (1, -1):
        for counts in (kept["settled"].outcomes, kept["settled"].changes):
            for key in list(counts):
                counts[key] += by
                with pytest.raises(RunError, match="balance"):
                    balance.check_balance(
                        extracts, balance.Balance.of(kept["settled"].outcomes, kept["settled"].changes)
                    )
                counts[key] -= by
                broken += 1
        for key in list(kept["published"]):
            off = Counter(kept["published"])
            off[key] += by
            with pytest.raises(RunError, match="balance"):
                outcomes._check(off, manifest)
            broken += 1
        told = pipeline.changes_told(manifest)
        for place in kept["stored"]:
            for change in Change:
                off_by_one = {
                    **kept["stored"],
                    place: {**kept["stored"][place], change: kept["stored"][place][change] + by},
                }
                with pytest.raises(RunError, match="balance"):
                    check_store(off_by_one, told)
                broken += 1
    balance.check_balance(extracts, balance.Balance.of(kept["settled"].outcomes, kept["settled"].changes))
    outcomes._check(kept["published"], manifest)
    check_store(kept["stored"], told)
    assert broken > 300
