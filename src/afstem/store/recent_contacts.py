"""Contacts that changed lately, beside the many that did not.

A night changes a few contacts here and a few there. Written where they belong they have most pages of the table
rewritten, first in the log and then in place: of 3 million contacts 45,000 changes touch 26,000 of 37,000 pages. So
they are gathered in a table of their own, in which a contact stands in place of its row in ``contact_rows``, and moved
there all at once when they have become many.
"""

import pyarrow as pa
from sqlalchemy import Connection, delete, func, insert, select

from afstem.store.columns import upsert_columns
from afstem.store.tables import contact_rows, recent_contact_rows, settings_kept

MANY = 0.25
"""So many of the contacts, as a share, are gathered before they are moved. Reading them takes a little longer every
night and moving them once the time of writing all: with fewer or more, the two together take longer."""

MOVED = "contact_rows"
"""``settings_kept`` remembers under this how many rows there were when they were moved last: counting reads them."""


class ContactWriter:
    """Writes the contacts that a run changes, batch by batch, where they are gathered or where they belong."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._table = recent_contact_rows
        gathered = connection.execute(select(func.count()).select_from(recent_contact_rows)).scalar_one()
        kept = select(settings_kept.c.value).where(settings_kept.c.name == MOVED)
        self._room = int(MANY * int(connection.execute(kept).scalar_one_or_none() or 0)) - gathered

    def write(self, rows: pa.Table) -> None:
        """Write rows with the columns of ``contact_rows``, in place of those of the same contacts."""
        self._room -= len(rows)
        if self._room < 0 and self._table is recent_contact_rows:
            move(self._connection)
            self._table = contact_rows
        upsert_columns(self._connection, self._table, rows)

    def finish(self) -> None:
        if self._table is contact_rows:
            remember_size(self._connection)


def move(connection: Connection) -> None:
    """Put the gathered contacts where they belong."""
    replaced = select(recent_contact_rows.c.contact)
    connection.execute(delete(contact_rows).where(contact_rows.c.contact.in_(replaced)))
    in_order = select(recent_contact_rows).order_by(recent_contact_rows.c.contact)
    connection.execute(insert(contact_rows).from_select(contact_rows.columns.keys(), in_order))
    connection.execute(delete(recent_contact_rows))


def remember_size(connection: Connection) -> None:
    """Take the rows of ``contact_rows`` for what "many" is measured by."""
    rows = connection.execute(select(func.count()).select_from(contact_rows)).scalar_one()
    connection.execute(delete(settings_kept).where(settings_kept.c.name == MOVED))
    connection.execute(insert(settings_kept).values(name=MOVED, value=str(rows)))
