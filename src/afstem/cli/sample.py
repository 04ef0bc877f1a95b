"""`afstem sample`: a workspace to try everything on, or a workload of any size."""

from pathlib import Path
from typing import Any

import click

from afstem.arrow_set_up import set_up_arrow
from afstem.cli.answering import answer
from afstem.cli.options import json_option
from afstem.errors import DONE, UsageError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--citizens", type=click.IntRange(1), default=1500, show_default=True, help="How many citizens.")
@click.option("--actors", type=click.IntRange(1), default=12, show_default=True, help="How many actors.")
@click.option(
    "--dirty", type=click.FloatRange(0, 1), default=0.08, show_default=True, help="Share of records with dirt."
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed writes the same bytes.")
@click.option(
    "--night",
    type=click.Choice(["parquet", "csv"]),
    help="Write a usual night instead: one ordinary extract an actor, all in this format, that mostly repeats what the "
    "store holds.",
)
@click.option(
    "--records",
    type=click.IntRange(1),
    help="Of a night: about how many records in all.  [default: 1 a citizen]",
)
@click.option(
    "--stored",
    type=click.IntRange(0),
    help="Of a night: about how many contacts the store holds at first.  [default: 2 a citizen]",
)
@click.option(
    "--changed",
    type=click.FloatRange(0, 1),
    help="Of a night: share of records that bring another value, a removal or a new contact.  [default: 0.05]",
)
@json_option
def sample(
    folder: Path,
    citizens: int,
    actors: int,
    dirty: float,
    seed: int,
    night: str | None,
    records: int | None,
    stored: int | None,
    changed: float | None,
    as_json: bool,
) -> int:
    """Write a whole invented workspace into FOLDER: configuration, actors, reference data, extracts.

    It shows every format, every kind of dirt and every trouble. With --night it is a workload instead, as large as
    you like: no broken files, no unavailable actors, and records that confirm what the store holds but for a few.

    Its CPR numbers cannot have been issued: no birthday on 1 January, and modulus 11 fails.
    """
    set_up_arrow()
    from afstem.sample import DEFAULT_CHANGED, NightPlan, write_workspace

    of_a_night = {"--records": records, "--stored": stored, "--changed": changed}
    if night is None and (given := [name for name, wish in of_a_night.items() if wish is not None]):
        raise UsageError(f"{given[0]}: is about a usual night; add --night parquet or --night csv")
    changed = DEFAULT_CHANGED if changed is None else changed
    plan = NightPlan(night, records, stored, changed) if night else None
    written = write_workspace(folder, citizens=citizens, actors=actors, dirty=dirty, seed=seed, plan=plan)
    answer({"folder": str(folder)} | written.to_json(), as_json, _tell_sample)
    return DONE


def _tell_sample(content: dict[str, Any]) -> None:
    click.echo(f"{content['folder']}: " + ", ".join(f"{v:,} {k}" for k, v in content.items() if isinstance(v, int)))
    click.echo(f"next: cd {content['folder']} && afstem reference load reference && afstem run")
