"""What is asked the same way by more than one command."""

from pathlib import Path

import click

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("afstem.toml"),
    show_default=True,
    help="The configuration file; paths in it start at its own folder.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
