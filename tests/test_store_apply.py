"""Applying a run: all of it or nothing, once, and as the store's own counts say (SPEC 3, 5.2, 5.5)."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.pool import PoolProxiedConnection

from afstem.errors import RunError
from afstem.finding_memory import MEMORY_SCHEMA
from afstem.packed import pack
from afstem.reconcile import CANDIDATE_SCHEMA, contact_numbers, numbers_and_types
from afstem.schema import NO_TIME, ContactType
from afstem.store import AppliedCounts, ExtractRow, RunRow, Store, recent_contacts
from afstem.store.connection import open_engine, reading
from afstem.store.lookup import read_these_contacts

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STARTED_AT = datetime(2026, 3, 1, 1, 0, tzinfo=UTC)
CREATED_AT = datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC)

A, B = 41000001, 4100000002
"""No CPR numbers: no month has 0 or 41 days. The first is stored with two zeros in front."""

CHANGE_SCHEMA = pa.schema([*CANDIDATE_SCHEMA, ("changed", pa.bool_()), ("before", pa.string())])

CONFIRMED = (30, b"as it is")
"""The store keeps packed confirmations and does not look into them."""

MOBILE, EMAIL = ContactType.MOBILE, ContactType.EMAIL


def run_row(name: str, **values: Any) -> RunRow:
    given = {"finished_at": STARTED_AT + timedelta(minutes=3), "as_of": date(2026, 3, 1), "status": "done"}
    return RunRow(run_id=name, started_at=STARTED_AT, records=3, **given | values)


def extract_row(number: int, actor: str = "a", **values: Any) -> ExtractRow:
    given = {"state": "applied", "created_at": CREATED_AT, "priority": 100, "records": 3}
    digest = f"{number:064x}"
    return ExtractRow(
        extract_no=number,
        extract_id=f"{actor}-{digest[-12:]}",
        actor=actor,
        file="f.csv",
        **{"sha256": digest} | given | values,
    )


def change_table(*rows: tuple[int, int, str | None, int, int, int, bool, str | None]) -> pa.Table:
    """Of (citizen, contact type, value, registered at, source, record_no, changed, before)."""
    numbered = [(int(contact_numbers(citizen, kind)), *rest) for citizen, kind, *rest in rows]
    return pa.table(
        [
            pa.array(values, field.type)
            for values, field in zip(zip(*numbered, strict=True), CHANGE_SCHEMA, strict=True)
        ],
        schema=CHANGE_SCHEMA,
    )


def stored_rows(store: Store) -> list[dict[str, Any]]:
    """What is stored, with citizen and contact type told apart."""
    rows = store.stored_contacts(0, 3 * 10**10).to_pylist()
    for row in rows:
        row["number"], row["contact_type"] = map(int, numbers_and_types(row.pop("contact")))
    return sorted(rows, key=lambda row: (row["number"], row["contact_type"]))


def accept(counts: AppliedCounts) -> None:
    """A verification that is content."""


def rows_of(store: Store, table: str) -> list[dict[str, Any]]:
    with reading(store._engine) as connection:
        return [dict(row) for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2")).mappings()]


def everything(store: Store) -> dict[str, list[dict[str, Any]]]:
    return {
        table: rows_of(store, table)
        for table in ("contacts", "contact_history", "confirmations", "extracts", "runs", "finding_memory")
    }


def memory_table(*rows: tuple[str, str, int, str, str, int, str | None, int | None, str | None]) -> bytes:
    return pack(
        pa.table([list(values) for values in zip(*rows, strict=True)], names=MEMORY_SCHEMA.names).cast(MEMORY_SCHEMA)
    )


FIRST = change_table(
    (A, MOBILE, "+4520000001", 1_700_000_000_000_001, 1, 7, True, None),
    (A, EMAIL, None, -62_135_596_800_000_000, 2, 1, False, None),
    (B, EMAIL, 'ø";\\.\t,ß@example.dk', 253_402_300_799_999_999, 1, 9, True, "old@example.dk"),
)


FIRST_HISTORY = {
    ("a", "mobile"): {"new": 1, "replaced": 0, "removed": 0},
    ("a", "email"): {"new": 0, "replaced": 1, "removed": 0},
}


def apply_first(store: Store, **values: Any) -> AppliedCounts:
    arguments = {
        "extracts": [extract_row(1), extract_row(2, "b"), extract_row(3, "b", state="refused", code=1014, records=0)],
        "changes": [FIRST],
        "confirmed": [CONFIRMED],
        "memory": {
            "a": memory_table(
                ("t", "email", 9158, "r0", "r1", 2, None, None, None), ("t", "", 9153, "r1", "r1", 1, None, 7, None)
            )
        }.items(),
        "verify": accept,
    }
    return store.apply(run_row("r1", counts={"outcomes": {"applied": 2}}), **arguments | values)


def test_what_a_run_writes(store: Store) -> None:
    counts = apply_first(store)
    assert counts.history == FIRST_HISTORY
    stored = store.stored_contacts(0, 3 * 10**10)
    assert stored.schema == CANDIDATE_SCHEMA
    assert stored.to_pylist() == FIRST.select(CANDIDATE_SCHEMA.names).sort_by("contact").to_pylist()
    contacts = rows_of(store, "contacts")
    assert [contact["personnummer"] for contact in contacts] == ["0041000001", "0041000001", "4100000002"]
    assert rows_of(store, "confirmations") == [dict(zip(("day", "content"), CONFIRMED, strict=True))]
    assert {contact["run_id"] for contact in contacts} == {"r1"}
    assert [contact["actor"] for contact in contacts] == ["b", "a", "a"]  # email stands before mobile
    history = rows_of(store, "contact_history")
    assert [
        (row["personnummer"], row["contact_type"], row["before"], row["after"], row["actor"], row["record_no"])
        for row in history
    ] == [
        ("0041000001", "mobile", None, "+4520000001", "a", 7),
        ("4100000002", "email", "old@example.dk", 'ø";\\.\t,ß@example.dk', "a", 9),
    ]
    assert {(row["run_id"], row["extract_id"]) for row in history} == {("r1", "a-000000000001")}
    assert store.finding_memory("a").sort_by("code").to_pylist() == [
        dict(zip(MEMORY_SCHEMA.names, row, strict=True))
        for row in [
            ("t", "", 9153, "r1", "r1", 1, None, 7, None),
            ("t", "email", 9158, "r0", "r1", 2, None, None, None),
        ]
    ]
    assert store.finding_memory("b").schema == MEMORY_SCHEMA
    assert len(store.finding_memory("b")) == 0


def test_times_are_utc_and_to_the_microsecond(store: Store, store_url: str) -> None:
    apply_first(store)
    expected = [EPOCH + timedelta(microseconds=value) for value in FIRST["registered_at"].to_pylist()]
    found = {row["registered_at"] for row in rows_of(store, "contacts")}
    if store_url.startswith("sqlite"):
        assert found == {f"{time:%Y-%m-%d %H:%M:%S.%f}".rjust(26, "0") for time in expected}
        assert {row["verified_at"] for row in rows_of(store, "contacts")} == {"2026-03-01 01:03:00.000000"}
    else:
        assert found == set(expected)
    assert store.sources()["created_at"].to_pylist() == [(CREATED_AT - EPOCH) // timedelta(microseconds=1)] * 2


def test_the_ledger(store: Store) -> None:
    assert (store.next_source_no(), store.applied_digests("a"), store.previous_run_of("a")) == (1, set(), None)
    apply_first(store)
    assert store.next_source_no() == 4
    assert store.applied_digests("a") == {f"{1:064x}"}
    assert store.applied_digests("b") == {f"{2:064x}"}  # the refused one is read again every night
    assert store.sources().drop_columns("created_at").to_pylist() == [
        {"source_no": no, "actor": actor, "sha256": f"{no:064x}", "priority": 100} for no, actor in ((1, "a"), (2, "b"))
    ]
    local = ZoneInfo("Europe/Copenhagen")
    store.apply(
        run_row("r2", finished_at=STARTED_AT.astimezone(local)),
        [extract_row(4, "a"), extract_row(5, "b", state="refused", code=1014)],
        [],
        [],
        [],
        accept,
    )
    assert (store.previous_run_of("a"), store.previous_run_of("b"), store.previous_run_of("c")) == ("r2", "r1", None)
    first, second = store.runs()
    assert first == run_row("r1", counts={"outcomes": {"applied": 2}})
    assert (second.finished_at, second.finished_at.utcoffset()) == (STARTED_AT, timedelta(0))
    assert store.run("r1") == first
    assert store.run("r3") is None
    assert store.unpublished_runs() == ["r1", "r2"]
    store.mark_published("r1")
    assert store.unpublished_runs() == ["r2"]
    assert [run.report_published for run in store.runs()] == [True, False]


def test_what_is_held_and_what_was_applied_last(store: Store) -> None:
    assert (store.held_extracts(), store.last_applied("a", f"{9:064x}")) == ([], None)
    runs = [
        [extract_row(1, records=300), extract_row(2, "b", records=7)],
        [extract_row(3, records=80), extract_row(4, records=90), extract_row(5, state="held", records=40)],
        [extract_row(6, state="held", records=40, sha256=f"{5:064x}"), extract_row(7, state="held", records=50)],
        [extract_row(8, records=60, sha256=f"{7:064x}")],
    ]
    for number, extracts in enumerate(runs):
        store.apply(run_row(f"r{9 - number}"), extracts, [], [], [], accept)
    (held,) = store.held_extracts()  # the other one was released
    assert (held.actor, held.sha256, held.created_at) == ("a", f"{5:064x}", CREATED_AT)
    assert held.is_called(held.extract_id)
    assert held.is_called(held.sha256[:8])
    assert not held.is_called(held.sha256[:7])
    assert not held.is_called("")
    assert store.last_applied("a", f"{9:064x}") == 60
    assert store.last_applied("a", f"{5:064x}") == 300  # as when it was held first, in the second run
    assert store.last_applied("a", f"{7:064x}") == 90
    assert store.last_applied("b", f"{9:064x}") == 7
    assert store.last_applied("c", f"{9:064x}") is None
    assert store.previous_run_of("a") == "r6"


def test_a_later_run_replaces_contacts_and_memory_and_adds_history(store: Store) -> None:
    apply_first(store)
    later = change_table(
        (A, MOBILE, None, 1_700_000_000_000_002, 4, 1, True, "+4520000001"),
        (B, EMAIL, 'ø";\\.\t,ß@example.dk', 1_700_000_000_000_003, 5, 2, False, 'ø";\\.\t,ß@example.dk'),
    )
    memory = {
        "a": memory_table(("u", "mobile", 9156, "r2", "r2", 1, None, 7, None)),
        "b": pack(MEMORY_SCHEMA.empty_table()),
    }
    extracts, changes = [extract_row(4), extract_row(5, "b")], [later[:1], later[1:]]
    confirmed = [(30, b"later"), (31, b"too")]
    counts = store.apply(run_row("r2"), extracts, changes, confirmed, memory.items(), accept)
    assert counts.history == {("a", "mobile"): {"new": 0, "replaced": 0, "removed": 1}}
    assert [tuple(row.values()) for row in rows_of(store, "confirmations")] == confirmed
    stored = {(row["number"], row["contact_type"]): row for row in stored_rows(store)}
    assert stored[A, MOBILE]["value"] is None
    assert (stored[B, EMAIL]["source_no"], stored[B, EMAIL]["registered_at"]) == (5, 1_700_000_000_000_003)
    assert stored[A, EMAIL]["source_no"] == 2
    assert [row["run_id"] for row in rows_of(store, "contact_history")] == ["r1", "r1", "r2"]
    assert store.finding_memory("a")["cpr_token"].to_pylist() == ["u"]


def test_a_load_leaves_contacts_that_came_from_extracts(store: Store, tmp_path: Path) -> None:
    apply_first(store, confirmed=[])
    (tmp_path / "contacts.csv").write_text(
        "personnummer;kontaktdatatype;kontaktdata;registreret;actor\n"
        "0041000001;1;12345678;2030-01-01;c\n0041000001;2;87654321;;c\n",
        encoding="utf-8",
    )

    def load() -> None:
        codelist, zone = {"1": "mobile", "2": "landline"}, ZoneInfo("UTC")
        assert store.load_reference(tmp_path, codelist, lambda _, values: values, zone, STARTED_AT) == {"contacts": 2}

    load()
    load()
    stored = stored_rows(store)
    assert [row["value"] for row in stored] == ["+4520000001", "87654321", None, 'ø";\\.\t,ß@example.dk']
    assert [row["source_no"] for row in stored] == [1, 4, 2, 1]
    (loaded,) = store.sources().slice(2).to_pylist()
    assert loaded == {"source_no": 4, "actor": "c", "sha256": None, "created_at": NO_TIME, "priority": None}


@pytest.mark.parametrize(("many", "gathered"), [(0.7, 3), (0.5, 0)])
def test_what_changed_lately_stands_in_place_of_what_was_there(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: float, gathered: int
) -> None:
    """Changes are gathered, three of five contacts here, until they are many; nobody who reads can tell."""
    monkeypatch.setattr(recent_contacts, "MANY", many)
    one, two, three, four, five, new = range(6100000001, 6100000007)
    lines = [f"{number};3;{number}@example.dk;;c\n" for number in (one, two, three, four, five)]
    (tmp_path / "contacts.csv").write_text(
        "".join(["personnummer;kontaktdatatype;kontaktdata;registreret;actor\n", *lines]), encoding="utf-8"
    )

    def load() -> None:
        store.load_reference(tmp_path, {"3": "email"}, lambda _, values: values, ZoneInfo("UTC"), STARTED_AT)

    load()
    changes = change_table(
        (two, EMAIL, None, 5, 2, 1, True, f"{two}@example.dk"),
        (four, EMAIL, "new@example.dk", 5, 2, 2, True, f"{four}@example.dk"),
        (new, EMAIL, "first@example.dk", 5, 2, 3, True, None),
    )
    store.apply(run_row("r1"), [extract_row(2)], [changes], [], [], accept)
    expected = {
        one: f"{one}@example.dk",
        two: None,
        three: f"{three}@example.dk",
        four: "new@example.dk",
        five: f"{five}@example.dk",
        new: "first@example.dk",
    }

    def check() -> None:
        stored = stored_rows(store)
        assert {row["number"]: row["value"] for row in stored} == expected
        assert [row["record_no"] for row in stored] == [-1, 1, -1, 2, -1, 3]
        shown = rows_of(store, "contacts")
        assert {int(row["personnummer"]): row["value"] for row in shown} == expected
        few = np.sort(contact_numbers(np.array([two, three, new]), np.array([EMAIL] * 3)))
        found = read_these_contacts(store._engine, few)
        assert found["value"].to_pylist() == [None, f"{three}@example.dk", "first@example.dk"]

    assert len(rows_of(store, "recent_contact_rows")) == gathered
    check()
    load()
    assert rows_of(store, "recent_contact_rows") == []
    check()


class RefusedError(Exception):
    pass


def refuse(counts: AppliedCounts) -> None:
    raise RefusedError


def breaking_changes() -> Iterator[pa.Table]:
    yield FIRST
    raise RefusedError


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(lambda: {"verify": refuse}, id="the counts are refused"),
        pytest.param(lambda: {"changes": breaking_changes()}, id="the change set cannot be read to its end"),
    ],
)
def test_nothing_of_a_refused_run_stays(store: Store, trouble: Callable[[], dict[str, Any]]) -> None:
    before = everything(store)
    with pytest.raises(RefusedError):
        apply_first(store, **trouble())
    assert everything(store) == before
    apply_first(store)


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param({"extracts": [extract_row(1), extract_row(1, "b")]}, id="an extract number twice"),
        pytest.param({"extracts": [extract_row(1), extract_row(2, sha256=f"{1:064x}")]}, id="the same bytes twice"),
        pytest.param({"changes": [FIRST, FIRST.set_column(1, "value", pa.array(["a\x00b"] * 3))]}, id="NUL"),
        pytest.param({"changes": [FIRST.set_column(4, "record_no", pa.nulls(3, pa.int64()))]}, id="no record number"),
    ],
)
def test_what_the_database_refuses_is_one_clean_line(
    store: Store, store_url: str, trouble: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    if "NUL" in request.node.name and store_url.startswith("sqlite"):
        apply_first(store, **trouble)  # SQLite takes it
        return
    before = everything(store)
    with pytest.raises(RunError) as failed:
        apply_first(store, **trouble)
    for content in ("41000001", "4100000002", "example", "20000001"):
        assert content not in repr(failed.value)
    assert everything(store) == before


def test_an_extract_is_never_applied_twice(store: Store) -> None:
    apply_first(store)
    before = everything(store)
    again = extract_row(4, sha256=f"{1:064x}")
    with pytest.raises(RunError, match=r"uq_extracts_applied_once|SQLITE_CONSTRAINT_UNIQUE"):
        store.apply(run_row("r2"), [again], [], [], [], accept)
    assert everything(store) == before
    store.apply(run_row("r2"), [extract_row(4, "b", sha256=f"{1:064x}")], [], [], [], accept)  # another actor's


def test_a_change_of_a_foreign_extract_is_a_bug(store: Store) -> None:
    with pytest.raises(AssertionError, match="not of this run"):
        apply_first(store, extracts=[extract_row(1)])
    assert rows_of(store, "runs") == []


def test_a_dry_run_is_verified_and_changes_nothing(store: Store) -> None:
    before = everything(store)
    seen: list[AppliedCounts] = []
    counts = apply_first(store, verify=seen.append, dry_run=True)
    assert seen == [counts]
    assert counts.history == FIRST_HISTORY
    assert everything(store) == before
    with pytest.raises(RefusedError):
        apply_first(store, verify=refuse, dry_run=True)


def test_a_run_that_is_applied_again_is_not_doubled(store: Store) -> None:
    first = apply_first(store)
    before = everything(store)
    assert apply_first(store) == first
    assert everything(store) == before


def lose_the_commit(store: Store, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> None:
    """The connection dies at the next COMMIT: before the database did it, or after, on the way back."""
    dialect = store._engine.dialect
    commit: Callable[[PoolProxiedConnection], None] = dialect.do_commit
    lost = iter([True])

    def dying_commit(connection: PoolProxiedConnection) -> None:
        if not next(lost, False):
            commit(connection)
            return
        if after:
            commit(connection)
        connection.driver_connection.close()
        raise dialect.loaded_dbapi.OperationalError(f"server closed the connection, {A}")

    monkeypatch.setattr(dialect, "do_commit", dying_commit)


def test_a_commit_whose_acknowledgement_is_lost_counts_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_the_commit(store, monkeypatch, after=True)
    apply_first(store)
    assert len(rows_of(store, "runs")) == 1
    assert len(rows_of(store, "contact_history")) == 2


def test_a_commit_that_is_lost_before_it_was_done_is_a_failure(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = everything(store)
    lose_the_commit(store, monkeypatch, after=False)
    with pytest.raises(RunError) as failed:
        apply_first(store)
    assert caplog.text == ""  # SQLAlchemy's pool would tell the driver's exception
    assert str(A) not in repr(failed.value)
    assert everything(store) == before


def test_a_commit_that_is_refused_stands_in_nobodys_way(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full, say: the connection lives, and holds what would keep everybody from looking."""
    before = everything(store)
    dialect = store._engine.dialect

    def refused_commit(connection: PoolProxiedConnection) -> None:
        raise dialect.loaded_dbapi.OperationalError(f"disk full, {A}")

    with monkeypatch.context() as patched:
        patched.setattr(dialect, "do_commit", refused_commit)
        with pytest.raises(RunError, match="nothing was changed, run again") as failed:
            apply_first(store)
    assert str(A) not in repr(failed.value)
    assert everything(store) == before
    apply_first(store)


def test_a_commit_waits_for_proof_that_the_lock_is_still_held(store_url: str) -> None:
    """PostgreSQL: another run may have begun once the session that held the lock is gone."""
    if store_url.startswith("sqlite"):
        return  # the kernel takes a file lock from no living process
    store = Store.open(store_url)
    store.upgrade()

    def end_the_session_that_holds_the_lock(counts: AppliedCounts) -> None:
        with reading(open_engine(store_url)) as connection:
            connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"))

    with pytest.raises(RunError, match=r"connection was lost|SQLSTATE 57P01"), store.exclusive(0, lambda: None):
        apply_first(store, verify=end_the_session_that_holds_the_lock)
    assert rows_of(store, "runs") == []


keys = st.tuples(st.integers(0, 10**10 - 1), st.sampled_from(list(ContactType)))
values = st.none() | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=6
)
change_sets = st.lists(st.dictionaries(keys, st.tuples(values, st.booleans()), max_size=8), min_size=1, max_size=3)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(runs=change_sets, many=st.sampled_from([0.0, recent_contacts.MANY, 1e9]))
def test_the_store_is_what_a_dictionary_would_be(
    store: Store, runs: list[dict[tuple[int, ContactType], tuple[str | None, bool]]], many: float
) -> None:
    """Whether what changed is moved at once, now and then, or never."""
    expected: dict[tuple[int, int], tuple[str | None, int]] = {
        (row["number"], row["contact_type"]): (row["value"], row["source_no"]) for row in stored_rows(store)
    }
    for run in runs:
        number = store.next_source_no()
        rows = [
            (citizen, kind, value, 5, number, place, changed, None)
            for place, ((citizen, kind), (value, changed)) in enumerate(run.items())
        ]
        tables = [change_table(*rows)] if rows else [CHANGE_SCHEMA.empty_table()]
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(recent_contacts, "MANY", many)
            counts = store.apply(run_row(f"r{number}"), [extract_row(number)], tables, [], [], accept)
        for kind in ContactType:
            changed = sum(row[6] for row in rows if row[1] == kind)
            assert sum(counts.history.get(("a", kind.slug), {}).values()) == changed
        expected |= {key: (value, number) for key, (value, _) in run.items()}
    stored = store.stored_contacts(0, 3 * 10**10)
    found = {(row["number"], row["contact_type"]): (row["value"], row["source_no"]) for row in stored_rows(store)}
    assert list(found.items()) == sorted(expected.items())
    middle = 5 * 10**9
    halves = pa.concat_tables([store.stored_contacts(0, middle), store.stored_contacts(middle, 3 * 10**10)])
    assert halves.equals(stored)
