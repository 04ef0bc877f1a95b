"""What the store's owner does: make it, bring it up to date, and say who may do what in it."""

from pathlib import Path
from typing import Any

from afstem.errors import UsageError
from afstem.settings import load_settings
from afstem.store import Roles, Store


def init_store(config: Path, roles: Roles) -> dict[str, Any]:
    """Make the store or bring it up to date, and grant these roles their rights; may be repeated.

    Gives ``before`` and ``version``, the steps of its history that the store had taken and has (``before`` None: it was
    not there), and ``roles`` by kind. Raises `UsageError` for a role that is not there or that no right would limit.
    """
    return _bring_up_to_date(config, roles, may_make=True)


def upgrade_store(config: Path) -> dict[str, Any]:
    """Bring a store up to date; what is granted is granted for new tables as well. Gives what `init_store` gives.

    Raises `UsageError` where there is no store: one is not to be made in a place that was mistyped.
    """
    return _bring_up_to_date(config, {}, may_make=False)


def _bring_up_to_date(config: Path, roles: Roles, *, may_make: bool) -> dict[str, Any]:
    store = Store.open(load_settings(config).store_url)
    try:
        before = store.version()
        if before is None and not may_make:
            raise UsageError("there is no store yet: 'afstem store init' makes it")
        store.upgrade()
        return {"before": before, "version": store.version(), "roles": store.grant(roles)}
    finally:
        store.close()
