"""The history of the store's tables, one file a step; `upgrade` brings a store to the newest.

To change a table: change `store/tables.py`, add a file to ``versions/`` with the next number, run the tests.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from afstem.errors import UsageError


def is_newest(connection: Connection) -> bool:
    """Whether the store has all steps that this version of the program knows."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    return MigrationContext.configure(connection).get_current_revision() == newest


def upgrade(connection: Connection) -> None:
    """Take the steps that the store lacks, inside the connection's transaction.

    Raises `UsageError` for a store that a newer version of the program has already changed.
    """
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise UsageError("the store was made by a newer version of afstem: install that one") from None


def _config() -> Config:
    config = Config()
    # Doubled, because the configuration parser takes a lone % for an interpolation.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
