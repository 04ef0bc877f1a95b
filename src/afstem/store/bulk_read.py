"""Bulk reads of the store: from the database straight into Arrow, through ADBC.

Measured on 3 million contacts: 1.4 s, where Python's own SQLite module takes 4 s to make Python objects first.
"""

import re
from itertools import count
from typing import Any

import adbc_driver_manager
import pyarrow as pa
from sqlalchemy import Engine

from afstem.errors import RunError
from afstem.store.connection import BUSY_SECONDS, other_copy_of_sqlite, sqlite_file

ROWS_PER_BATCH = 65_536


def read_arrow(engine: Engine, query: str, parameters: tuple[str | int, ...]) -> pa.Table:
    """What a select answers, as the database types it; each ``?`` in the query stands for a parameter."""
    try:
        file = sqlite_file(engine)
        if file is None:
            return _read_postgresql(engine, query, parameters)
        with other_copy_of_sqlite():
            # Not mode=ro, which cannot take part when the log of a connection that closes is cleared away.
            return _read_sqlite(f"{file.absolute().as_uri()}?mode=rw", query, parameters)
    except adbc_driver_manager.Error as error:
        # Its message may quote what the database could not read.
        raise RunError(f"the store failed: {error.sqlstate or type(error).__name__} while reading") from None


def _read_sqlite(uri: str, query: str, parameters: tuple[str | int, ...]) -> pa.Table:
    from adbc_driver_sqlite import dbapi

    with dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        cursor.fetchall()
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(ROWS_PER_BATCH)})
        cursor.execute(query, parameters)
        return cursor.fetch_arrow_table()


def _read_postgresql(engine: Engine, query: str, parameters: tuple[str | int, ...]) -> pa.Table:
    from adbc_driver_postgresql import dbapi

    uri = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    number = count(1)
    numbered = re.sub(r"\?", lambda _: f"${next(number)}", query)
    options: dict[str, Any] = {"autocommit": True}
    with dbapi.connect(uri, **options) as connection, connection.cursor() as cursor:
        cursor.execute(numbered, parameters)
        return cursor.fetch_arrow_table()
