"""Commit, and where the answer to a COMMIT is lost, find out what became of it.

"Failed and changed nothing" must be true when it is said. So whatever is committed leaves a mark of its own in the same
transaction, and one that was not acknowledged is looked for: by a new connection, and until the server is back.
"""

import time
from collections.abc import Callable

from sqlalchemy import Connection, Engine, RootTransaction
from sqlalchemy.exc import DBAPIError

from afstem.errors import StoreFailed
from afstem.store.connection import connected_to_write, describe

RECONNECT_SECONDS = 120
"""As long as a server takes to recover from a crash and to take connections again; a large one longer."""

SECONDS_BETWEEN_TRIES = 0.5


def commit(engine: Engine, transaction: RootTransaction, is_committed: Callable[[Connection], bool]) -> None:
    """Commit; ``is_committed`` tells by the mark whether it has happened. Raises `StoreFailed` if it has not.

    The transaction's connection is not to be used afterwards: it may be closed.
    """
    try:
        transaction.commit()
    except DBAPIError as error:
        failure = describe(error, engine)
        # What it may still hold must not stand in the way of finding out: its session ends, and nobody gets it again.
        transaction.connection.invalidate()
        transaction.connection.close()
    else:
        return
    if not _found(engine, is_committed, failure):
        raise StoreFailed(f"{failure}: nothing was changed, run again")


def _found(engine: Engine, is_committed: Callable[[Connection], bool], failure: str) -> bool:
    deadline = time.monotonic() + RECONNECT_SECONDS
    while True:
        try:
            # Alone: it waits for the transaction if that is still on its way, which reading would overlook.
            with connected_to_write(engine, alone=True) as connection, connection.begin() as looking:
                found = is_committed(connection)
                looking.rollback()
                return found
        except DBAPIError:
            if time.monotonic() >= deadline:
                raise StoreFailed(
                    f"{failure}, during COMMIT, and it has not answered since ({RECONNECT_SECONDS} s): "
                    "the next run finds out whether this one counts, and doubles nothing"
                ) from None
            time.sleep(SECONDS_BETWEEN_TRIES)
