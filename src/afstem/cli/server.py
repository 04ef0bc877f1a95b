"""Runs under a Prefect server, with a worker or without one: `afstem bootstrap`, `afstem serve`."""

from pathlib import Path
from typing import Any

import click

from afstem.cli.answering import answer, tell_trouble
from afstem.cli.options import config_option, json_option
from afstem.errors import DONE


@click.command()
@config_option
@json_option
def bootstrap(config: Path, as_json: bool) -> int:
    """Set up the Prefect server of PREFECT_API_URL: work pool, limit, automation and all deployments.

    It may be repeated whenever you like, and changes only what is not as it should be. After it, a worker does the
    runs: prefect worker start --pool afstem
    """
    from afstem.orchestration.bootstrap import bootstrap as set_up

    answer(set_up(config), as_json, _tell_bootstrap)
    return DONE


def _tell_bootstrap(content: dict[str, Any]) -> None:
    for changed in content["changed"]:
        click.echo(f"made or mended: {changed}")
    if not content["changed"]:
        click.echo("nothing to change")
    click.echo(f"deployments: {', '.join(content['deployments'])}")
    for advice in content["advice"]:
        tell_trouble(f"advice: {advice}")
    click.echo(f"next: prefect worker start --pool {content['pool']}")


@click.command()
@config_option
def serve(config: Path) -> int:
    """Do the scheduled and ad-hoc runs of the Prefect server of PREFECT_API_URL in this process, without a worker.

    The same deployments as `afstem bootstrap` registers for a worker; use one or the other.
    """
    from afstem.orchestration.bootstrap import prepare
    from afstem.orchestration.deployments import serve as serve_until_interrupted

    for advice in prepare():
        tell_trouble(f"advice: {advice}")
    serve_until_interrupted(config)
    return DONE
