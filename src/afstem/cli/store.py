"""What the store holds before the first run, and who may do what in it: `afstem reference`, `afstem store`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from afstem.arrow_set_up import set_up_arrow
from afstem.cli.answering import answer
from afstem.cli.options import config_option, json_option
from afstem.errors import DONE


@click.group()
def reference() -> None:
    """What the rules are judged against: citizens, relations, subscriptions, first contacts."""


@reference.command("load")
@click.argument("folder", type=click.Path(path_type=Path))
@config_option
@json_option
def load_reference(folder: Path, config: Path, as_json: bool) -> int:
    """Replace reference data by the files of FOLDER, all of them or none.

    \b
    citizens.csv|parquet       personnummer;status
    relations.csv|parquet      personnummer;actor;kind;valid_from;valid_to
    subscriptions.csv|parquet  personnummer;channel;type;valid_from;valid_to
    contacts.csv|parquet       personnummer;kontaktdatatype;kontaktdata;registreret;actor

    A file that is not there leaves its table as it is; a broken file is refused, and nothing is loaded.
    """
    set_up_arrow()
    from afstem.pipeline import load_reference as load

    answer({"loaded": load(config, folder)}, as_json, _tell_loaded)
    return DONE


def _tell_loaded(content: dict[str, Any]) -> None:
    for name, count in content["loaded"].items():
        click.echo(f"{name}: {count:,} loaded")


@click.group()
def store() -> None:
    """Make the store, bring it up to date, and say who may do what in it."""


def _role_option(kind: str, helps: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    return click.option(f"--{kind}-role", f"{kind}_roles", metavar="ROLE", multiple=True, help=helps)


@store.command("init")
@_role_option("run", "PostgreSQL role of 'afstem run'; it may not alter tables or history. May be repeated.")
@_role_option("load", "Role of 'afstem reference load'. [default: the roles that run]")
@_role_option("analyst", "Role that may read contacts, contact_history, runs and extracts, and nothing else.")
@config_option
@json_option
def init_store(
    run_roles: tuple[str, ...], load_roles: tuple[str, ...], analyst_roles: tuple[str, ...], config: Path, as_json: bool
) -> int:
    """Make the store of the configuration, as its owner, and grant its roles what they need.

    Safe to repeat: roles of a kind that is named take the place of those before, the others stay as they are. The roles
    themselves are made by whoever looks after the database (CREATE ROLE). An SQLite store knows no roles.
    """
    from afstem.administration import init_store as init

    answer(init(config, {"run": run_roles, "load": load_roles, "analyst": analyst_roles}), as_json, _tell_store)
    return DONE


@store.command("upgrade")
@config_option
@json_option
def upgrade_store(config: Path, as_json: bool) -> int:
    """Bring the store's tables up to date, as its owner; what was granted holds for new tables as well.

    An SQLite store is brought up to date by the next run as well.
    """
    from afstem.administration import upgrade_store as upgrade

    answer(upgrade(config), as_json, _tell_store)
    return DONE


def _tell_store(content: dict[str, Any]) -> None:
    before, now = content["before"], content["version"]
    become = "is up to date" if before == now else f"upgraded from {before}" if before else "made"
    click.echo(f"store: {become} (version {now})")
    for kind, names in content["roles"].items():
        if names:
            click.echo(f"  {kind}: {', '.join(names)}")
