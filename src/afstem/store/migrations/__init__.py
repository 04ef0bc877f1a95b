"""The history of the store's tables, one file a step; `upgrade` brings a store to the newest.

To change a table: change `store/tables.py`, add a file to ``versions/`` with the next number, run the tests.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from afstem.errors import UsageError

if TYPE_CHECKING:
    from alembic.config import Config

NEWEST = "0003"
"""The last step, so that a run finds a store up to date without importing Alembic; a test compares it."""


NEWER = "the store was made by a newer version of afstem: install that one"


def version(connection: Connection) -> str | None:
    """The last step that the store has taken; None where there is no store yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def upgrade(connection: Connection) -> None:
    """Take the steps that the store lacks, inside the connection's transaction.

    Raises `UsageError` for a store that a newer version of the program has already changed.
    """
    from alembic import command
    from alembic.util import CommandError

    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise UsageError(NEWER) from None


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    # Doubled, because the configuration parser takes a lone % for an interpolation.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
