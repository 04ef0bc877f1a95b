"""Arrow columns out of the store and into it: bulk reads and bulk writes, with no Python loop over values.

Times are turned into integers inside the database, so that what crosses the driver is integers and texts, the same on
both databases.
"""

import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Insert,
    MetaData,
    Select,
    Table,
    select,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from afstem.schema import NO_TIME

ROWS_PER_FETCH = 65_536


# --- out --------------------------------------------------------------------------------------------------------------


class microseconds(FunctionElement[int]):  # noqa: N801 - reads as a function in SQL expressions
    """A time as microseconds since 1970 in UTC, `NO_TIME` where it is null."""

    type = BigInteger()
    inherit_cache = True


@compiles(microseconds, "sqlite")
def _sqlite_microseconds(element: microseconds, compiler: SQLCompiler, **options: Any) -> str:
    stored = compiler.process(element.clauses, **options)
    seconds = f"CAST(strftime('%s', substr({stored}, 1, 19)) AS INTEGER)"
    return f"coalesce({seconds} * 1000000 + CAST(substr({stored}, 21) AS INTEGER), {NO_TIME + 1} - 1)"


@compiles(microseconds, "postgresql")
def _postgresql_microseconds(element: microseconds, compiler: SQLCompiler, **options: Any) -> str:
    stored = compiler.process(element.clauses, **options)
    # EXTRACT answers a numeric, so this is exact.
    return f"coalesce(CAST(EXTRACT(EPOCH FROM {stored}) * 1000000 AS BIGINT), {NO_TIME + 1} - 1)"


def read_columns(connection: Connection, query: Select[Any], schema: pa.Schema) -> pa.Table:
    """The rows of a select as an Arrow table of ``schema``, whose fields stand in the order of the select's columns.

    For thousands of rows; `bulk_read` is for millions. The select must yield what the driver gives back as integer
    or text.
    """
    # Never with stream_results: SQLAlchemy would then take the first rows from the driver's cursor for itself.
    with connection.execute(query) as result:
        cursor = result.cursor
        if cursor is None:
            raise AssertionError("a select has a cursor")
        batches = []
        # The driver's own tuples: wrapped as SQLAlchemy rows they cost twice as much.
        while rows := cursor.fetchmany(ROWS_PER_FETCH):
            columns = zip(zip(*rows, strict=True), schema, strict=True)
            batches.append(pa.record_batch([pa.array(values, field.type) for values, field in columns], schema))
    return pa.Table.from_batches(batches, schema).combine_chunks()


# --- in ---------------------------------------------------------------------------------------------------------------


def insert_columns(connection: Connection, table: Table, rows: pa.Table) -> None:
    """Append rows; the columns of ``rows`` are named as those of ``table``, of which some may be left out."""
    if connection.dialect.name == "postgresql":
        _copy(connection, table.name, rows)
    else:
        _execute_many(connection, sqlite.insert(table), rows)


def upsert_columns(connection: Connection, table: Table, rows: pa.Table) -> None:
    """Insert rows, or replace all given columns of the row that has the same primary key.

    Sort them by that key: both databases then write their pages in order (measured 1.4 to 1.8 times faster).
    """
    key = [column.name for column in table.primary_key]
    others = [name for name in rows.column_names if name not in key]
    _merge(
        connection,
        table,
        rows,
        lambda statement: statement.on_conflict_do_update(
            index_elements=key, set_={name: statement.excluded[name] for name in others}
        ),
    )


def insert_new_columns(connection: Connection, table: Table, rows: pa.Table) -> None:
    """Insert the rows whose primary key is not there yet, and leave the others as they are."""
    _merge(connection, table, rows, lambda statement: statement.on_conflict_do_nothing())


MergeInsert = Any
"""An ``INSERT`` of either dialect; PostgreSQL's is imported only where it is used."""


def _merge(connection: Connection, table: Table, rows: pa.Table, resolve: Callable[[MergeInsert], MergeInsert]) -> None:
    if connection.dialect.name != "postgresql":
        _execute_many(connection, resolve(sqlite.insert(table)), rows)
        return
    from sqlalchemy.dialects import postgresql

    names = rows.column_names
    staging = Table(
        f"staging_{table.name}",
        MetaData(),
        *(Column(name, table.c[name].type) for name in names),
        prefixes=["TEMPORARY"],
    )
    staging.create(connection, checkfirst=False)
    _copy(connection, staging.name, rows)
    connection.execute(resolve(postgresql.insert(table).from_select(names, select(staging))))
    staging.drop(connection, checkfirst=False)


def _execute_many(connection: Connection, statement: Insert, rows: pa.Table) -> None:
    """SQLite: one prepared statement over plain tuples, in the connection's transaction."""
    compiled = statement.compile(dialect=connection.dialect, column_keys=rows.column_names)
    in_order = rows.select(compiled.positiontup)
    for batch in in_order.to_batches(max_chunksize=ROWS_PER_FETCH):
        columns = [_as_sqlite_keeps_it(column).to_pylist() for column in batch.columns]
        connection.exec_driver_sql(str(compiled), list(zip(*columns, strict=True)))


def _as_sqlite_keeps_it(column: pa.Array) -> pa.Array:
    """Times and dates as the text that SQLAlchemy's types read: six fraction digits, no zone."""
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us")).cast(pa.string())
    return column.cast(pa.string()) if pa.types.is_date32(column.type) else column


def _copy(connection: Connection, table_name: str, rows: pa.Table) -> None:
    """PostgreSQL: COPY of CSV built in Arrow, where a null is an empty field and an empty text is ``""``."""
    import psycopg
    from psycopg import sql

    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
        sql.Identifier(table_name), sql.SQL(", ").join(map(sql.Identifier, rows.column_names))
    )
    options = pa_csv.WriteOptions(include_header=False, quoting_style="all_valid")
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise AssertionError("a PostgreSQL store is written through psycopg")
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for batch in rows.to_batches(max_chunksize=ROWS_PER_FETCH):
            lines = io.BytesIO()
            pa_csv.write_csv(batch, lines, options)
            copy.write(lines.getvalue())
