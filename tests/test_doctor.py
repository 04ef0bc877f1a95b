"""`afstem doctor`: each trouble is brought about for real, and found, and nothing else is."""

import contextlib
import inspect
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prefect_server import PrefectServer, prefect, waited_for
from source_servers import HOST, SftpServer, event_loop
from sqlalchemy import make_url
from test_cli import afstem, change, in_process
from test_sample_data import SAMPLE_DATA
from test_store_rights import Place, make_old_store, place, roles  # noqa: F401 - a fixture
from whole_run import load_and_run

from afstem import clock, doctor, pipeline
from afstem.administration import init_store
from afstem.doctor import Remark, examine, verdict
from afstem.report.texts import known_reasons

PASSWORD = "correct horse battery"  # the only secret that a doctor could tell


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace after a night, in which nothing is wrong."""
    workspace = tmp_path_factory.mktemp("healthy") / "workspace"
    shutil.copytree(SAMPLE_DATA, workspace, ignore=shutil.ignore_patterns("var", "reports"))
    change(workspace, "extracts/kommune-013", "extracts/star", "actors.toml")
    load_and_run(workspace)
    return workspace


@pytest.fixture
def workspace(healthy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(healthy, tmp_path / "workspace"))


def trouble(workspace: Path) -> list[Remark]:
    """What is not well."""
    return [remark for remark in examine(workspace / "afstem.toml") if remark.level != "well"]


def the_only(workspace: Path, level: str, about: str, says: str, do: str = "") -> None:
    [remark] = trouble(workspace)
    assert (remark.level, remark.about) == (level, about)
    assert says in remark.says
    assert do in (remark.do or "")
    assert "\n" not in f"{remark.says}{remark.do}"


def test_of_a_healthy_workspace_there_is_nothing_to_say(workspace: Path) -> None:
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in workspace.rglob("*") if path.is_file()}
    done = afstem("doctor", "--json", cwd=workspace)
    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr, told["status"]) == (0, "", "well")
    abouts = ["configuration", "store", "sources", "clock", "disk", "disk", "disk", "permissions", "prefect"]
    assert [remark["about"] for remark in told["remarks"]] == abouts
    log = ("afstem.db-wal", "afstem.db-shm")  # of SQLite, which a reader may make
    after = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in workspace.rglob("*") if path.is_file()}
    assert {path: told for path, told in after.items() if path.name not in log} == before


def test_it_changes_nothing_where_nothing_is_yet(workspace: Path) -> None:
    shutil.rmtree(workspace / "var")
    shutil.rmtree(workspace / "reports")
    the_only(workspace, "warning", "store", "there is no store yet", "afstem store init")
    assert not (workspace / "var").exists()
    assert not (workspace / "reports").exists()


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "afstem.toml").unlink(), "cannot be read"),
        (lambda folder: change(folder, "[run]", "[run]\nzone = 1"), "run.zone: unknown key"),
        (lambda folder: change(folder, '"star"', '"stjerne"', "actors.toml"), "type"),
        (lambda folder: change(folder, "sqlite:///", "mysql://"), "store.url"),
        (lambda folder: change(folder, "[paths]", '[paths]\ncodelist = "x.toml"'), "x.toml"),
        (lambda folder: change(folder, "[paths]", '[paths]\npermissions = "x.toml"'), "x.toml"),
    ],
)
def test_what_is_wrong_in_the_configuration_is_told_by_file_and_key(spoil, said: str, workspace: Path) -> None:
    spoil(workspace)
    remarks = trouble(workspace)
    assert [(remark.level, remark.about) for remark in remarks] == [("fault", "configuration")]
    assert said in remarks[0].says
    assert verdict(remarks) == ("fault", 2)


def test_several_faults_are_told_at_once(workspace: Path) -> None:
    change(workspace, '"star"', '"stjerne"', "actors.toml")
    change(workspace, "[paths]", '[paths]\ncodelist = "x.toml"')
    (workspace / "var").chmod(0o700)
    (workspace / "var" / "landing").chmod(0o755)
    assert [remark.about for remark in trouble(workspace)] == ["configuration", "configuration", "permissions"]


def test_a_text_for_people_and_the_exit_codes(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> tuple[int, str]:
        return in_process("doctor", cwd=workspace, capsys=capsys, monkeypatch=monkeypatch)[:2]

    assert told()[0] == 0
    (workspace / "var" / "landing").chmod(0o755)
    code, text = told()
    assert code == 3
    assert f"-> chmod -R go-rwx {workspace / 'var' / 'landing'}\n" in text
    (workspace / "var" / "afstem.db").write_bytes(b"no database at all" * 100)
    assert told()[0] == 1
    change(workspace, "[run]", "[run]\nzone = 1")
    assert told()[0] == 2


# --- the store --------------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_store(workspace: Path) -> None:
    for beside in (workspace / "var").glob("afstem.db-*"):
        beside.unlink()
    (workspace / "var" / "afstem.db").write_bytes(b"no database at all" * 100)
    the_only(workspace, "fault", "store", "SQLITE_NOTADB: restore the store")


def test_a_store_of_another_version(workspace: Path) -> None:
    execute = ["sqlite3.connect('var/afstem.db')", "execute(\"UPDATE alembic_version SET version_num = '{}'\")"]
    for version, level, says in (("0001", "warning", "of version 0001"), ("9999", "fault", "a newer version (9999)")):
        code = f"import sqlite3; c = {execute[0]}; c.{execute[1].format(version)}; c.commit()"
        subprocess.run(["python", "-c", code], cwd=workspace, check=True)
        the_only(workspace, level, "store", says)


def test_a_store_without_citizens(workspace: Path) -> None:
    for file in (workspace / "var").glob("afstem.db*"):
        file.unlink()
    init_store(workspace / "afstem.toml", {})
    the_only(workspace, "warning", "store", "it knows no citizen", "afstem reference load")


def use_store(workspace: Path, url: str) -> None:
    change(workspace, "sqlite:///var/afstem.db", url)


def test_the_driver_may_stand_in_the_url_of_an_sqlite_store(workspace: Path) -> None:
    use_store(workspace, f"sqlite+pysqlite:///{workspace}/var/afstem.db")
    assert trouble(workspace) == []
    (workspace / "var" / "afstem.db").chmod(0o644)
    the_only(workspace, "warning", "permissions", "the store: others may reach")


def test_on_postgresql_the_role_that_runs_is_well(place: Place, workspace: Path) -> None:  # noqa: F811
    config = workspace / "afstem.toml"
    use_store(workspace, place.url("owner"))
    init_store(config, roles(place, "run", "load"))
    found = {(remark.level, remark.says.partition(f"{place.role('owner')} ")[2]) for remark in trouble(workspace)}
    assert ("warning", "owns the tables and may make tables: more than a run needs") in found
    pipeline.load_reference(config, workspace / "reference")
    change(workspace, place.url("owner"), place.url("run"))
    assert trouble(workspace) == []
    place.execute("REVOKE INSERT ON runs FROM {role}", role=place.role("run"))
    the_only(workspace, "fault", "store", "may not INSERT on runs", "afstem store init --run-role")


def test_on_postgresql_what_only_the_owner_can_do_is_asked_of_them(place: Place, workspace: Path) -> None:  # noqa: F811
    place.execute("GRANT CONNECT ON DATABASE {name} TO {role}", name=place.database, role=place.role("run"))
    use_store(workspace, place.url("run"))
    the_only(workspace, "fault", "store", "there is no store yet", "its owner: afstem store init")
    make_old_store(place, "0002")
    place.execute("GRANT SELECT ON alembic_version TO {role}", role=place.role("run"))
    the_only(workspace, "fault", "store", "of version 0002", "its owner: afstem store upgrade")


def test_a_database_that_is_not_there(workspace: Path, postgresql_server: str) -> None:
    use_store(workspace, f"postgresql+psycopg://afstem:{PASSWORD.replace(' ', '%20')}@127.0.0.1:9/afstem")
    remarks = trouble(workspace)
    assert [(remark.level, remark.about) for remark in remarks] == [("fault", "store"), ("warning", "permissions")]
    assert "PostgreSQL cannot be reached" in remarks[0].says
    assert "the store's password stands in" in remarks[1].says
    assert "horse" not in repr(remarks)
    url = make_url(postgresql_server).set(drivername="postgresql+psycopg", database="nowhere")
    change(workspace, f"postgresql+psycopg://afstem:{PASSWORD.replace(' ', '%20')}@127.0.0.1:9/afstem", str(url))
    assert "fault" in {remark.level for remark in trouble(workspace) if remark.about == "store"}


def test_the_clock_of_another_machine(store_url: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if store_url.startswith("sqlite"):
        expected = {f"the disk of {name}" for name in ("landing", "reports", "store")}
    else:
        use_store(workspace, store_url)
        init_store(workspace / "afstem.toml", {})
        pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
        expected = {"the store's server", "the disk of landing", "the disk of reports"}
    real = clock.now
    monkeypatch.setattr(clock, "now", lambda: real() + timedelta(minutes=2))
    found = [remark for remark in trouble(workspace) if remark.about == "clock"]
    assert {remark.says.partition(" is ")[0] for remark in found} == expected
    assert all("120 s behind this machine" in remark.says for remark in found)


# --- sources ----------------------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there(workspace: Path) -> None:
    shutil.rmtree(workspace / "extracts" / "jobcenter-01100")
    the_only(workspace, "warning", "sources", "jobcenter-01100: The folder of the source does not exist", "made")


def test_sources_that_refuse_and_that_do_not_answer(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(workspace, "[run]", "[pull]\nconnect_seconds = 3\ntries = 1\n[run]")
    with event_loop() as loop:
        server = SftpServer(workspace / "served", passwords={"batch": PASSWORD})
        loop.serve(server)
        (workspace / "known_hosts").write_text(server.known_hosts())
        source = f"sftp://batch@{HOST}:{server.port}/in"
        change(workspace, "[pull]", '[pull]\nknown_hosts = "known_hosts"')
        change(workspace, '"extracts/jobcenter-01100"', f'"{source}"', "actors.toml")
        monkeypatch.setenv("AFSTEM_SOURCE__PASSWORD", "wrong " + PASSWORD)
        the_only(workspace, "warning", "sources", "jobcenter-01100: the login is refused (1012)", "AFSTEM_SOURCE__")
        (workspace / "served" / "batch" / "in").mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv("AFSTEM_SOURCE__PASSWORD", PASSWORD)
        assert trouble(workspace) == []
        (workspace / "known_hosts").write_text("")
        the_only(workspace, "warning", "sources", "cannot prove who it is", "known_hosts")
        monkeypatch.delenv("AFSTEM_SOURCE__PASSWORD")
        the_only(workspace, "warning", "sources", "is missing", "AFSTEM_SOURCE__")
    the_only(workspace, "warning", "sources", "jobcenter-01100: ", "")
    assert "horse" not in repr(examine(workspace / "afstem.toml"))


def test_a_source_that_hangs_does_not_keep_the_doctor(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a dead NFS server does, which no time-out of ours can end."""
    real = os.scandir

    def hanging(folder: Path):
        if Path(folder).name == "jobcenter-01100":
            time.sleep(12)
        return real(folder)

    monkeypatch.setattr(doctor, "SOURCES_SECONDS", 1.0)
    monkeypatch.setattr("afstem.sources.local.os.scandir", hanging)
    the_only(workspace, "warning", "sources", "jobcenter-01100: has not answered in 1 s")


def test_there_is_something_to_do_about_every_reason() -> None:
    of_a_run_alone = {"changed-while-read", "worker-killed", "internal-error"}
    assert doctor.SOURCE_REMEDIES.keys() == known_reasons(None) - of_a_run_alone


# --- clock, disk, permissions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["afstem.toml", "reports/29991231T000000Z-abcdef"])
def test_what_is_from_the_future(what: str, workspace: Path) -> None:
    if what.startswith("reports"):
        (workspace / what).mkdir()
    else:
        os.utime(workspace / what, (4e9, 4e9))
    the_only(workspace, "warning", "clock", f"{Path(what).name} is from 2", "set this machine's clock")


@contextlib.contextmanager
def small_disk(folder: Path, *options: str) -> Iterator[None]:
    """A file system of its own in the place of a folder, with what was in it."""
    kept = folder.with_name(f"{folder.name}-kept")
    shutil.copytree(folder, kept)
    mount = ["mount", "-t", "tmpfs", "-o"]
    done = subprocess.run([*mount, "mode=0700,size=80m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        shutil.rmtree(kept)
        pytest.skip("a small file system needs root")
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        shutil.rmtree(kept)
        subprocess.run([*mount, ",".join(("remount", "mode=0700", *options)), "tmpfs", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(
    ("options", "level", "says"),
    [
        (["size=600m"], "warning", "landing: 5"),
        (["size=60m"], "fault", "landing: 5"),
        (["size=2g", "nr_inodes=5000"], "warning", "inodes free"),
        (["size=2g", "nr_inodes=500"], "fault", "inodes free"),
        (["ro"], "fault", "takes no file: Read-only file system"),
    ],
)
def test_a_disk_with_little_room(options: list[str], level: str, says: str, workspace: Path) -> None:
    with small_disk(workspace / "var" / "landing", *options):
        the_only(workspace, level, "disk", says)


def test_a_night_as_large_as_the_last_has_no_room(workspace: Path) -> None:
    [manifest] = workspace.glob("reports/2*/run.json")
    content = json.loads(manifest.read_text())
    content["extracts"][0]["bytes"] = 10**15
    manifest.write_text(json.dumps(content))
    the_only(workspace, "fault", "disk", "landing: ", "make room in")


@pytest.mark.parametrize(
    "path", ["var/landing", "var/landing/star/*.jsonl", "reports/2*/receipts/star/rejected.csv", "var/afstem.db"]
)
def test_what_others_may_read(path: str, workspace: Path) -> None:
    [found] = workspace.glob(path)
    found.chmod(0o640 if found.is_file() else 0o750)
    the_only(workspace, "warning", "permissions", f"others may reach {found}", "chmod -R go-rwx ")


def test_what_another_user_owns(workspace: Path) -> None:
    if os.geteuid():
        pytest.skip("only root gives files away")
    [found] = workspace.glob("var/landing/star/*.jsonl")
    os.chown(found, 12345, -1)
    the_only(workspace, "warning", "permissions", f"another user owns {found}", "chown -R")


def test_a_secret_that_others_may_read(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "password").chmod(0o644)
    monkeypatch.setenv("AFSTEM_SOURCE__PASSWORD_FILE", str(tmp_path / "password"))
    the_only(workspace, "warning", "permissions", "AFSTEM_SOURCE__PASSWORD_FILE: others may read", "chmod 600")
    (tmp_path / "password").chmod(0o600)
    assert trouble(workspace) == []


def test_a_umask_that_lets_everybody_write(workspace: Path) -> None:
    before = os.umask(0)
    try:
        the_only(workspace, "warning", "permissions", "umask 0000", "umask 027")
    finally:
        os.umask(before)


def test_a_fault_of_its_own_hides_no_other(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("0741000012")

    monkeypatch.setattr(doctor, "tell_file_name", broken)
    (workspace / "var" / "landing").chmod(0o755)
    shutil.rmtree(workspace / "extracts" / "star")
    remarks = trouble(workspace)
    assert {remark.about for remark in remarks} == {"sources", "permissions"}
    assert "internal error: KeyError" in remarks[-1].says
    assert "0741000012" not in repr(remarks)


FUNCTIONS = [
    name for name, one in vars(doctor).items() if inspect.isfunction(one) and one.__module__ == doctor.__name__
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_whatever_fails_no_word_of_it_is_told(
    name: str, workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, called = "0741000012", []  # no CPR number: no month has 41 days

    def fails(*_: object, **__: object) -> None:
        called.append(name)
        raise ValueError(secret)

    for part in ("var/landing", "var/afstem.db"):
        (workspace / part).chmod(0o755)
    change(workspace, "[run]", '[hold]\nmin_records = "many"\n[run]' if name == "_misconfigured" else "[run]")
    checks = tuple((about, fails if check.__name__ == name else check) for about, check in doctor._CHECKS)
    monkeypatch.setattr(doctor, "_CHECKS", checks)
    monkeypatch.setattr(doctor, name, fails)
    code, stdout, stderr = in_process("doctor", cwd=workspace, capsys=capsys, monkeypatch=monkeypatch)
    assert called
    assert code in (1, 3)
    assert secret not in stdout + stderr


# --- Prefect ----------------------------------------------------------------------------------------------------------


def about_prefect(workspace: Path, server: PrefectServer) -> list[tuple[str, str]]:
    done = subprocess.run(
        [prefect("afstem"), "doctor", "--json"], cwd=workspace, env=server.environment, capture_output=True, check=False
    )
    remarks = json.loads(done.stdout)["remarks"]
    return [(remark["level"], remark["says"]) for remark in remarks if remark["about"] == "prefect"]


def test_a_prefect_server_that_does_not_answer(workspace: Path) -> None:
    done = afstem("doctor", cwd=workspace, PREFECT_API_URL=f"http://me:{PASSWORD[:7]}@{HOST}:9/api")
    assert done.returncode == 1
    [line] = [line for line in done.stdout.splitlines() if "prefect " in line]
    assert line.startswith("fault    prefect        the Prefect server at http://...@127.0.0.1:9/api does not answer")
    assert PASSWORD[:7] not in done.stdout + done.stderr


@pytest.mark.flow
def test_what_a_prefect_server_lacks(prefect_server: PrefectServer, workspace: Path, tmp_path: Path) -> None:
    for one in prefect_server.post("/deployments/filter", {}):  # of other tests of this session
        prefect_server.delete(f"/deployments/{one['id']}")
    for one in prefect_server.post("/automations/filter", {}):
        prefect_server.delete(f"/automations/{one['id']}")
    for one in prefect_server.post("/v2/concurrency_limits/filter", {}):
        prefect_server.delete(f"/v2/concurrency_limits/{one['id']}")
    lacking = about_prefect(workspace, prefect_server)
    assert lacking == [
        ("warning", "there is no limit afstem-store: only the store keeps runs apart"),
        ("warning", "no automation ends runs whose machine is gone"),
        ("fault", "there is no deployment nightly"),
        ("warning", "there is no deployment ad-hoc"),
        ("warning", "there is no deployment reference-load"),
    ]
    command = [prefect("afstem"), "bootstrap"]
    subprocess.run(command, cwd=workspace, env=prefect_server.environment, capture_output=True, check=True)
    assert about_prefect(workspace, prefect_server)[0] == ("fault", "nobody would do the runs of nightly")
    with prefect_server.beside(tmp_path / "log", prefect(), "worker", "start", "--pool", "afstem"):
        waited_for(lambda: [level for level, _ in about_prefect(workspace, prefect_server)] == ["well"])
        [nightly] = [one for one in prefect_server.post("/deployments/filter", {}) if one["name"] == "nightly"]
        prefect_server.post(f"/deployments/{nightly['id']}/pause_deployment", {})
        assert about_prefect(workspace, prefect_server) == [("fault", "nightly is switched off")]
        prefect_server.post(f"/deployments/{nightly['id']}/resume_deployment", {})
