"""One run at a time by Prefect's own limit, so that a second waits where operators can see it.

The limit is a courtesy: the store's own lock is the truth, and holds whatever Prefect does.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from prefect.concurrency.sync import concurrency
from prefect.settings import PREFECT_API_URL

from afstem.errors import StoreBusy

STORE_LIMIT = "afstem-store"
"""The global concurrency limit of everything that holds the store: applying runs, dry runs, reference loads."""

LEASE_SECONDS = 60
"""So long after its holder was killed the limit's place is free again."""

WAIT_SECONDS = 3 * 60 * 60
"""Longer than any run takes; the next waits in vain only if one hangs."""


@contextmanager
def one_at_a_time(wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold the limit while the store is needed; raises `StoreBusy` when nobody lets go of it in time.

    Where the server has no such limit (`afstem bootstrap` makes it), Prefect logs that, and the store's lock decides.
    """
    if not PREFECT_API_URL.value():
        # Prefect's temporary server knows of this run alone: its limit would keep nobody out.
        yield
        return
    with ExitStack() as held:
        try:
            held.enter_context(
                concurrency(STORE_LIMIT, timeout_seconds=wait_seconds, lease_duration=LEASE_SECONDS, strict=False)
            )
        except TimeoutError:
            raise StoreBusy(
                f"another run has held Prefect's limit {STORE_LIMIT} for {wait_seconds:.0f} s; nothing was begun"
            ) from None
        yield
