"""The store itself: how it comes into being, who may hold it, and what its failures say."""

import os
import sqlite3
import stat
import subprocess
import sys
import textwrap
from datetime import date
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url

from afstem.errors import RunError, StoreBusy, UsageError
from afstem.store import Store, migrations
from afstem.store.connection import open_engine, reading, writing
from afstem.store.tables import metadata

NUMBER = "4100000001"
"""No CPR number: no month has 41 days."""


def test_migrations_make_the_tables_that_the_code_expects(store: Store, store_url: str) -> None:
    engine = create_engine(store_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        # The comparison above does not look at these.
        inspector = inspect(connection)
        for table in metadata.tables.values():
            assert inspector.get_pk_constraint(table.name)["constrained_columns"] == [
                column.name for column in table.primary_key
            ]
            assert {column["name"]: column["nullable"] for column in inspector.get_columns(table.name)} == {
                column.name: column.nullable for column in table.columns
            }
        if connection.dialect.name == "sqlite":
            made = dict(connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'")).all())
            for table in metadata.tables.values():
                without_rowid = table.dialect_options["sqlite"]["with_rowid"] is False
                assert made[table.name].rstrip().endswith("WITHOUT ROWID") == without_rowid, table.name
    engine.dispose()


def test_the_newest_step_is_the_last_one() -> None:
    assert ScriptDirectory(str(Path(migrations.__file__).parent)).get_current_head() == migrations.NEWEST


def test_upgrading_again_changes_nothing(store: Store, store_url: str) -> None:
    key = store.token_key()
    assert len(key) == 32
    store.upgrade()
    with store.exclusive(0, lambda: None):
        store.upgrade()
    other = Store.open(store_url)
    assert other.token_key() == key
    other.close()


def test_every_store_has_its_own_token_key(tmp_path: Path) -> None:
    stores = [Store.open(f"sqlite:///{tmp_path}/{name}.db") for name in "ab"]
    for store in stores:
        store.upgrade()
    assert stores[0].token_key() != stores[1].token_key()


def test_a_store_of_a_newer_version_is_left_alone(store: Store, store_url: str) -> None:
    engine = create_engine(store_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(UsageError, match="newer version"):
        store.upgrade()


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_sqlite_files_are_readable_by_their_owner_alone(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        store = Store.open(f"sqlite:///{tmp_path}/var/deep/afstem.db")
        store.upgrade()
        with store.exclusive(0, lambda: None), reading(store._engine) as connection:
            connection.execute(text("SELECT count(*) FROM contacts"))
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "var").rglob("*")}
    finally:
        os.umask(before)
    assert modes.pop("deep") == 0o700
    assert {"afstem.db", "afstem.db-wal", "afstem.db-shm", "afstem.db.lock"} == set(modes)
    assert set(modes.values()) == {0o600}


def test_a_store_that_is_not_there_is_not_made_by_reading(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/afstem.db")
    with pytest.raises(RunError, match="SQLITE_CANTOPEN"):
        store.runs()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "mysql://user:hemmelig@host/db",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql+pg8000://a:hemmelig@h/d",
    ],
)
def test_other_urls_are_refused_without_quoting_them(url: str) -> None:
    with pytest.raises(UsageError, match=r"store\.url") as refused:
        Store.open(url)
    assert "hemmelig" not in str(refused.value)


def test_a_server_that_does_not_answer_is_one_clean_line() -> None:
    store = Store.open("postgresql+psycopg://somebody:hemmelig@127.0.0.1:1/nothing")
    with pytest.raises(RunError, match="cannot be reached") as failed:
        store.upgrade()
    assert "hemmelig" not in str(failed.value)


def test_sqlite_commits_survive_a_power_cut(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/afstem.db"
    Store.open(url).upgrade()
    with reading(open_engine(url)) as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2
        assert connection.execute(text("PRAGMA foreign_keys")).scalar_one() == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE history_rows SET after = 'x'",
        "DELETE FROM history_rows",
        "TRUNCATE history_rows",
        "DELETE FROM contact_history",
    ],
)
def test_history_is_append_only(store: Store, store_url: str, statement: str) -> None:
    engine = open_engine(store_url)
    with writing(engine) as connection:
        connection.execute(
            text("INSERT INTO history_rows (contact, after, extract_no, record_no) VALUES (3, 'a@example.dk', 1, 1)")
        )
    with pytest.raises(RunError), writing(engine) as connection:
        connection.execute(text(statement))
    with reading(engine) as connection:
        assert connection.execute(text("SELECT after FROM history_rows")).scalars().all() == ["a@example.dk"]


def test_failures_name_the_constraint_and_nothing_of_the_row(store: Store, store_url: str) -> None:
    engine = open_engine(store_url)
    insert = text("INSERT INTO settings_kept VALUES (:number, :status)")
    with writing(engine) as connection:
        connection.execute(insert, {"number": NUMBER, "status": "01"})
    statements = [
        (insert, {"number": NUMBER, "status": "01"}),  # PostgreSQL's DETAIL quotes the key
        (insert, {"number": NUMBER + "1", "status": None}),  # ... and here the whole row
        (text(f"SELECT * FROM no_such_table_{NUMBER}"), {}),
        (text(f"SELECT CAST('{NUMBER}x' AS INTEGER) + no_such_column"), {}),
    ]
    for statement, values in statements:
        with pytest.raises(RunError) as failed, writing(engine) as connection:
            connection.execute(statement, values)
        assert NUMBER not in repr(failed.value)
        assert "secret" not in repr(failed.value)
        assert failed.value.__suppress_context__
    broken = r"SQLSTATE 23505 \(pk_settings_kept\)|SQLITE_CONSTRAINT_PRIMARYKEY \(settings_kept"
    with pytest.raises(RunError, match=broken), writing(engine) as connection:
        connection.execute(insert, {"number": NUMBER, "status": "01"})


def test_the_drivers_do_quote_the_row(store: Store, store_url: str) -> None:
    """The test above can fail: what it keeps back is really there, hidden parameters or not."""
    if make_url(store_url).get_backend_name() == "sqlite":
        return  # SQLite itself quotes no values
    engine = create_engine(store_url, hide_parameters=True)
    insert = text("INSERT INTO settings_kept VALUES (:number, '01')")
    with engine.begin() as connection:
        connection.execute(insert, {"number": NUMBER})
    with pytest.raises(Exception, match=NUMBER), engine.begin() as connection:
        connection.execute(insert, {"number": NUMBER})
    engine.dispose()


HOLDER = textwrap.dedent("""
    import sys
    from afstem.store import Store, migrations
    store = Store.open(sys.argv[1])
    with store.exclusive(0, lambda: None):
        print("held", flush=True)
        sys.stdin.read()
""")


def hold_in_another_process(store_url: str) -> "subprocess.Popen[str]":
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, store_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


@pytest.mark.parametrize("killed", [False, True], ids=["ends", "is killed"])
def test_the_second_waits_until_the_first_ends_however_it_ends(store: Store, store_url: str, killed: bool) -> None:
    with hold_in_another_process(store_url) as holder:
        heard: list[str] = []
        with (
            pytest.raises(StoreBusy, match="another run or reference load"),
            store.exclusive(0.3, lambda: heard.append("waiting")),
        ):
            heard.append("inside")
        assert heard == ["waiting"]
        if killed:
            holder.kill()
        else:
            assert holder.stdin is not None
            holder.stdin.close()
        with store.exclusive(30, lambda: None):
            heard.append("inside")
        assert heard == ["waiting", "inside"]


def test_an_upgrade_waits_for_a_run(store_url: str) -> None:
    first, second = Store.open(store_url), Store.open(store_url)
    first.upgrade()
    with first.exclusive(0, lambda: None):
        second.upgrade()  # nothing to do, so nothing to wait for
    with pytest.raises(StoreBusy), first.exclusive(0, lambda: None), second.exclusive(0, lambda: None):
        pass


def test_a_failure_releases_the_store(store: Store, store_url: str) -> None:
    with pytest.raises(ZeroDivisionError), store.exclusive(0, lambda: None):
        raise ZeroDivisionError
    other = Store.open(store_url)
    with other.exclusive(0, lambda: None):
        pass


def test_readers_go_on_while_somebody_writes(store: Store, store_url: str) -> None:
    with writing(open_engine(store_url)) as connection:
        connection.execute(text("INSERT INTO settings_kept VALUES ('x', 'y')"))
        with reading(open_engine(store_url)) as other:
            assert other.execute(text("SELECT count(*) FROM settings_kept")).scalar_one() == 1  # the key of the tokens
    with reading(open_engine(store_url)) as other:
        assert other.execute(text("SELECT count(*) FROM settings_kept")).scalar_one() == 2


def test_an_outsider_that_writes_makes_sqlite_wait_not_fail(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/afstem.db"
    store = Store.open(url)
    store.upgrade()
    outsider = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sqlite3, sys, time\n"
            "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); time.sleep(0.5); c.execute('COMMIT')",
            str(tmp_path / "afstem.db"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with outsider:
        assert outsider.stdout is not None
        assert outsider.stdout.readline() == "held\n"
        store.mark_published("none")
    assert store.email_subscribers(date(2026, 3, 1)).tolist() == []


def test_sqlite_is_new_enough_for_what_the_store_uses() -> None:
    assert sqlite3.sqlite_version_info >= (3, 35)  # upsert over WITHOUT ROWID tables, strftime('%s')


OPEN_AND_CLOSE = textwrap.dedent("""
    import sys
    from afstem.store import Store
    print("begun", flush=True)
    while True:
        Store.open(sys.argv[1]).mark_published("none")
""")


def test_bulk_reads_go_on_while_others_open_and_close_the_store(store: Store, store_url: str) -> None:
    """SQLite's last connection to close clears the log away: whoever reads at that moment must wait, not fail.

    Without the wait about one read in twenty failed.
    """
    command = [sys.executable, "-c", OPEN_AND_CLOSE, store_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "begun\n"
        try:
            for _ in range(300):
                assert len(store.stored_contacts(0, 3 * 10**10)) == 0
        finally:
            other.kill()
