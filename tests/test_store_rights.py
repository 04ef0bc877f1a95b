"""Least rights in PostgreSQL: what a whole night needs each role may do, and nothing else."""

import json
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from alembic import command
from psycopg import sql
from sqlalchemy import make_url, text
from test_cli import in_process
from test_sample_data import SAMPLE_DATA
from whole_run import read_store, run_again

from afstem import pipeline
from afstem.administration import init_store, upgrade_store
from afstem.errors import StoreFailed, UsageError
from afstem.forget import forget
from afstem.store import Store, migrations, recent_contacts
from afstem.store.bulk_read import read_arrow
from afstem.store.connection import ANSWER_SECONDS, open_engine, reading, writing
from afstem.store.rights import GRANTED
from afstem.store.tables import metadata
from afstem.verify import verify_reports

TABLES = [*metadata.tables, "alembic_version", "contacts", "contact_history"]
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


@dataclass(frozen=True)
class Place:
    """A database that belongs to a role of its own, with roles that may do nothing yet."""

    server: str
    database: str

    def role(self, kind: str) -> str:
        return f'{kind} "of" {self.database}'  # as awkward as a name can be

    def url(self, kind: str) -> str:
        url = make_url(self.server).set(
            drivername="postgresql+psycopg", database=self.database, username=self.role(kind), password=None
        )
        return url.render_as_string(hide_password=False)

    def execute(self, statement: str, **names: str) -> None:
        """As the superuser."""
        server = make_url(self.server).set(database=self.database).render_as_string(hide_password=False)
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(**{key: sql.Identifier(n) for key, n in names.items()}))


KINDS = ("owner", "run", "load", "analyst", "stranger")


@pytest.fixture
def place(postgresql_server: str) -> Iterator[Place]:
    name = f"rights_{secrets.token_hex(6)}"
    place = Place(postgresql_server, name)
    server = Place(postgresql_server, "postgres")
    for kind in KINDS:
        server.execute("CREATE ROLE {role} LOGIN", role=place.role(kind))
    server.execute("CREATE DATABASE {name} OWNER {owner}", name=name, owner=place.role("owner"))
    server.execute("REVOKE ALL ON DATABASE {name} FROM PUBLIC", name=name)
    yield place
    server.execute("DROP DATABASE {name} WITH (FORCE)", name=name)
    for kind in KINDS:
        server.execute("DROP ROLE {role}", role=place.role(kind))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("var", "reports")
    return Path(shutil.copytree(SAMPLE_DATA, tmp_path / "workspace", ignore=ignored))


@pytest.fixture
def become(place: Place, monkeypatch: pytest.MonkeyPatch):
    def become(kind: str) -> None:
        monkeypatch.setenv("AFSTEM_STORE__URL", place.url(kind))

    return become


def roles(place: Place, *kinds: str) -> dict[str, tuple[str, ...]]:
    return {kind: (place.role(kind),) for kind in kinds}


@pytest.mark.parametrize("many", [recent_contacts.MANY, 0.0], ids=["gathered", "moved"])
def test_each_role_does_its_work_and_the_outcome_is_that_of_sqlite(
    place: Place, workspace: Path, become, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, many: float
) -> None:
    monkeypatch.setattr(recent_contacts, "MANY", many)
    other = Path(shutil.copytree(workspace, tmp_path / "other"))
    config = workspace / "afstem.toml"
    become("owner")
    init_store(config, roles(place, "run", "load", "analyst"))
    become("load")
    pipeline.load_reference(config, workspace / "reference")
    become("run")
    assert sum(run_again(workspace, dry_run=True)["outcomes"].values()) > 1000
    first = run_again(workspace)
    (held,) = [extract["id"] for extract in first["extracts"] if extract["state"] == "held"]
    run_again(workspace, release=(held,))
    become("load")
    pipeline.load_reference(config, workspace / "reference")
    become("run")
    assert not verify_reports(config, None).faults
    assert forget(config, 0, dry_run=False)["runs"]
    become("analyst")
    contacts, history = read_store(workspace)

    monkeypatch.delenv("AFSTEM_STORE__URL")
    pipeline.load_reference(other / "afstem.toml", other / "reference")
    run_again(other)
    run_again(other, release=(held,))
    pipeline.load_reference(other / "afstem.toml", other / "reference")
    other_contacts, other_history = read_store(other)
    assert history == other_history
    assert without_times(contacts) == without_times(other_contacts)
    assert len(history) > 1000


def without_times(contacts: dict) -> dict:
    """Without the times, which for records that bring none are those of the first pull."""
    return {key: (value, actor) for key, (value, _, actor) in contacts.items()}


def test_where_nobody_loads_those_who_run_do(place: Place, workspace: Path, become) -> None:
    become("owner")
    init_store(workspace / "afstem.toml", roles(place, "run"))
    become("run")
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    assert run_again(workspace)["outcomes"]["applied"]


def rights_of(place: Place, kind: str) -> dict[str, str]:
    """Every right on every table, view and column that the role has, written as in `GRANTED`."""
    found: dict[str, str] = {}
    with reading(open_engine(place.url(kind))) as connection:
        for table in TABLES:
            may = text(f"SELECT has_table_privilege('{table}', :may)")
            whole = [name for name in PRIVILEGES if connection.execute(may, {"may": name}).scalar_one()]
            by_column: dict[str, list[str]] = {}
            for column, privilege in connection.execute(
                text(
                    "SELECT a.attname, p.may FROM pg_attribute a, unnest(CAST(:privileges AS text[])) AS p(may)"
                    " WHERE a.attrelid = to_regclass(:t) AND attnum > 0 AND NOT attisdropped"
                    " AND has_column_privilege(a.attrelid, a.attnum, p.may) ORDER BY a.attnum"
                ),
                {"t": table, "privileges": ["SELECT", "INSERT", "UPDATE"]},
            ):
                if privilege not in whole:
                    by_column.setdefault(privilege, []).append(column)
            parts = {name: name for name in whole}
            parts |= {name: f"{name} ({', '.join(columns)})" for name, columns in by_column.items()}
            if parts:
                found[table] = ", ".join(parts[name] for name in PRIVILEGES if name in parts)
    return found


def test_each_role_has_the_rights_that_are_written_down_and_no_others(place: Place, workspace: Path, become) -> None:
    become("owner")
    init_store(workspace / "afstem.toml", roles(place, "run", "load", "analyst"))
    place.execute("GRANT CONNECT ON DATABASE {name} TO {role}", name=place.database, role=place.role("stranger"))
    for kind in ("run", "load", "analyst"):
        expected = {table: sorted_rights(rights) for table, rights in GRANTED[kind].items()}
        assert {table: sorted_rights(rights) for table, rights in rights_of(place, kind).items()} == expected
    assert rights_of(place, "stranger") == {}
    assert all(rights_of(place, "owner")[table] for table in TABLES)  # the control


def sorted_rights(rights: str) -> set[tuple[str, frozenset[str]]]:
    """Each right with the columns that it is limited to."""
    found = re.findall(r"([A-Z]+)(?: \(([^)]*)\))?", rights)
    return {(right, frozenset(columns.split(", "))) for right, columns in found}


REFUSED = {
    "run": [
        "CREATE TABLE mine (x int)",
        "CREATE VIEW mine AS SELECT 1",
        "DROP TABLE contact_rows CASCADE",
        "DROP VIEW contacts",
        "ALTER TABLE contact_rows ADD COLUMN x int",
        "ALTER TABLE history_rows DISABLE TRIGGER ALL",
        "DROP TRIGGER history_rows_append_only ON history_rows",
        "ALTER SEQUENCE history_rows_history_no_seq RESTART",
        "SELECT setval('history_rows_history_no_seq', 1)",
        "TRUNCATE contact_rows",
        "TRUNCATE history_rows",
        "UPDATE history_rows SET after = 'x'",
        "DELETE FROM history_rows",
        "SELECT * FROM history_rows",
        "SELECT personnummer FROM contact_history",
        "SELECT * FROM contacts",
        "UPDATE runs SET counts = ''",
        "DELETE FROM runs",
        "UPDATE extracts SET state = 'held'",
        "DELETE FROM extracts",
        "DELETE FROM contact_sources",
        "UPDATE settings_kept SET value = ''",
        "UPDATE alembic_version SET version_num = '0'",
        "DELETE FROM reference_columns",
        "INSERT INTO reference_columns VALUES ('citizens', 'x', 0, '')",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
    "load": [
        "CREATE TABLE mine (x int)",
        "SELECT content FROM reference_columns",
        "SELECT * FROM runs",
        "INSERT INTO history_rows (contact, extract_no, record_no) VALUES (1, 1, 1)",
        "SELECT * FROM contact_history",
        "SELECT * FROM finding_memory",
        "SELECT actor FROM extracts",
        "UPDATE history_rows SET after = 'x'",
    ],
    "analyst": [
        "CREATE TABLE mine (x int)",
        "CREATE TEMPORARY TABLE mine (x int)",
        "SELECT * FROM contact_rows",
        "SELECT * FROM reference_columns",
        "SELECT * FROM settings_kept",
        "SELECT * FROM alembic_version",
        "INSERT INTO runs SELECT * FROM runs",
        "UPDATE extracts SET state = 'held'",
    ],
}


def test_what_a_role_has_no_business_with_is_refused(place: Place, workspace: Path, become) -> None:
    become("owner")
    init_store(workspace / "afstem.toml", roles(place, "run", "load", "analyst"))
    for kind, statements in REFUSED.items():
        for statement in statements:
            with (
                pytest.raises(StoreFailed, match="SQLSTATE 42501"),
                writing(open_engine(place.url(kind))) as connection,
            ):
                connection.execute(text(statement))
    with reading(open_engine(place.url("analyst"))) as connection:
        for name in ("contacts", "contact_history", "runs", "extracts"):
            connection.execute(text(f"SELECT * FROM {name}"))
    # The control: what is refused is nonsense to nobody.
    for statement in {statement for statements in REFUSED.values() for statement in statements}:
        if not any(word in statement for word in ("UPDATE history", "DELETE FROM history", "TRUNCATE history")):
            with open_engine(place.url("owner")).connect() as connection:  # closed without a commit
                connection.execute(text(statement))


def make_old_store(place: Place, step: str) -> None:
    with writing(open_engine(place.url("owner"))) as connection:
        config = migrations._config()
        config.attributes["connection"] = connection
        command.upgrade(config, step)
        for name, value in (("token_key", "ab" * 32), ("roles", json.dumps(roles(place, "run")))):
            connection.execute(text("INSERT INTO settings_kept VALUES (:n, :v)"), {"n": name, "v": value})


def test_an_old_store_is_for_its_owner_to_upgrade_and_what_was_granted_holds_for_new_tables(
    place: Place, workspace: Path, become
) -> None:
    config = workspace / "afstem.toml"
    make_old_store(place, "0002")
    for statement in (
        "GRANT CONNECT, TEMPORARY ON DATABASE {name} TO {role}",
        "GRANT SELECT ON alembic_version TO {role}",
    ):
        place.execute(statement, name=place.database, role=place.role("run"))
    become("run")
    with pytest.raises(UsageError, match=r"older version \(0002, needed is \d+\).*'afstem store upgrade'") as refused:
        run_again(workspace)
    assert "\n" not in str(refused.value)
    with pytest.raises(UsageError, match="'afstem store upgrade'"):
        upgrade_store(config)
    become("owner")
    told = upgrade_store(config)
    assert (told["before"], told["version"]) == ("0002", migrations.NEWEST)
    assert told["roles"]["run"] == (place.role("run"),)
    assert upgrade_store(config)["before"] == migrations.NEWEST
    become("run")
    pipeline.load_reference(config, workspace / "reference")
    assert run_again(workspace)["outcomes"]["applied"]


def test_a_newer_store_says_so_to_a_role_that_may_not_alter_it(place: Place, workspace: Path, become) -> None:
    become("owner")
    init_store(workspace / "afstem.toml", roles(place, "run"))
    place.execute("UPDATE alembic_version SET version_num = '9999'")
    become("run")
    with pytest.raises(UsageError, match="newer version"):
        run_again(workspace)


def test_roles_that_may_not_are_told_whom_to_ask(place: Place, workspace: Path, become) -> None:
    place.execute("GRANT CONNECT ON DATABASE {name} TO {role}", name=place.database, role=place.role("run"))
    become("run")
    with pytest.raises(UsageError, match=r"no store yet.*'afstem store init'"):
        run_again(workspace)
    become("owner")
    init_store(workspace / "afstem.toml", {})
    become("run")
    with pytest.raises(StoreFailed, match=r"SQLSTATE 42501.*'afstem store init'"):
        run_again(workspace)


def test_a_role_that_no_right_limits_is_refused(place: Place, workspace: Path, become) -> None:
    config = workspace / "afstem.toml"
    become("owner")
    superuser = make_url(place.server).username or "postgres"
    for name, why in (
        (superuser, "no right would limit it"),
        (place.role("owner"), "no right would limit it"),
        ("nobody-here", "there is no role nobody-here"),
    ):
        with pytest.raises(UsageError, match=why):
            init_store(config, {"run": (name,)})
    place.execute("GRANT {owner} TO {role}", owner=place.role("owner"), role=place.role("run"))
    with pytest.raises(UsageError, match="no right would limit it"):
        init_store(config, roles(place, "run"))
    place.execute("REVOKE {owner} FROM {role}", owner=place.role("owner"), role=place.role("run"))
    place.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    with pytest.raises(UsageError, match="REVOKE CREATE ON SCHEMA"):
        init_store(config, roles(place, "run"))
    place.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    init_store(config, roles(place, "run"))


def test_what_only_the_owner_of_the_database_grants_is_asked_for(place: Place, workspace: Path, become) -> None:
    place.execute("ALTER DATABASE {name} OWNER TO postgres", name=place.database)
    place.execute("GRANT CONNECT ON DATABASE {name} TO {role}", name=place.database, role=place.role("owner"))
    place.execute("GRANT CREATE ON SCHEMA public TO {role}", role=place.role("owner"))
    become("owner")
    with pytest.raises(UsageError, match="GRANT CONNECT ON DATABASE") as refused:
        init_store(workspace / "afstem.toml", roles(place, "run"))
    assert "\n" not in str(refused.value)
    for right in ("CONNECT", "TEMPORARY"):
        place.execute(f"GRANT {right} ON DATABASE {{name}} TO {{role}}", name=place.database, role=place.role("run"))
    init_store(workspace / "afstem.toml", roles(place, "run"))


def test_a_role_that_is_named_no_more_loses_its_rights(place: Place, workspace: Path, become) -> None:
    config = workspace / "afstem.toml"
    become("owner")
    init_store(config, roles(place, "run", "analyst"))
    told = init_store(config, {"run": (place.role("stranger"),)})
    assert told["roles"] == {"run": (place.role("stranger"),), "load": (), "analyst": (place.role("analyst"),)}
    assert rights_of(place, "run") == {}
    assert set(rights_of(place, "stranger")) == set(GRANTED["run"]) | set(GRANTED["load"])
    assert set(rights_of(place, "analyst")) == set(GRANTED["analyst"])
    # A role that was dropped since is no reason to fail.
    place.execute("DROP OWNED BY {role}", role=place.role("analyst"))
    Place(place.server, "postgres").execute("DROP OWNED BY {role}", role=place.role("analyst"))
    place.execute("DROP ROLE {role}", role=place.role("analyst"))
    assert init_store(config, {})["roles"]["analyst"] == ()
    place.execute("CREATE ROLE {role} LOGIN", role=place.role("analyst"))


def test_the_commands_for_sqlite(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def afstem(*words: str) -> tuple[int, str, str]:
        return in_process(*words, cwd=workspace, capsys=capsys, monkeypatch=monkeypatch)

    assert afstem("store", "upgrade")[0] == 2
    assert not (workspace / "var").exists()
    assert afstem("store", "init")[:2] == (0, f"store: made (version {migrations.NEWEST})\n")
    assert afstem("store", "init")[:2] == (0, f"store: is up to date (version {migrations.NEWEST})\n")
    code, out, _ = afstem("store", "upgrade", "--json")
    assert (code, json.loads(out)) == (0, {"before": migrations.NEWEST, "version": migrations.NEWEST, "roles": {}})
    code, _, said = afstem("store", "init", "--run-role", "somebody")
    assert (code, said.count("\n")) == (2, 1)
    assert "knows no roles" in said


def test_the_commands_for_postgresql(
    place: Place, workspace: Path, become, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    become("owner")
    words = [f"--{kind}-role={place.role(kind)}" for kind in ("run", "load", "analyst")]
    code, out, _ = in_process("store", "init", *words, cwd=workspace, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 0
    assert out.splitlines()[0] == f"store: made (version {migrations.NEWEST})"
    assert f"  analyst: {place.role('analyst')}" in out
    assert sys.argv[0] == "afstem"


def test_options_of_the_url_hold_for_every_way_to_the_store(place: Place, workspace: Path) -> None:
    """A store may stand in a schema of its own; both drivers find it there, and neither waits for ever."""
    place.execute("CREATE SCHEMA apart AUTHORIZATION {role}", role=place.role("owner"))
    store_url = make_url(place.url("owner")).update_query_dict({"options": "-c search_path=apart -c work_mem=7MB"})
    url = store_url.render_as_string(hide_password=False)
    store = Store.open(url)
    store.upgrade()
    store.grant(roles(place, "run"))
    engine = open_engine(url)
    settings = ("search_path", "work_mem", "timezone", "statement_timeout")
    wanted = ("apart", "7MB", "UTC", f"{ANSWER_SECONDS // 60}min")
    query = "SELECT " + ", ".join(f"current_setting('{name}') AS {name}" for name in settings) + " WHERE 1 = ?"
    with reading(engine) as connection:
        assert tuple(connection.execute(text(query.replace("?", "1"))).one()) == wanted
        assert connection.execute(text("SELECT to_regclass('public.runs')")).scalar_one() is None
    (read,) = read_arrow(engine, query, (1,)).to_pylist()
    assert tuple(read.values()) == wanted
