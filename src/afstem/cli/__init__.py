"""The commands of SPEC 7, thin: they ask, call the steps, and print. A room holds those of one errand.

Imports stand inside the commands, so that ``afstem --help`` and ``afstem explain`` answer at once.
"""

import contextlib
import gc
import json
import os
import sys
import traceback
from typing import NoReturn

import click

from afstem.cli import actor, runs, sample, server, store, upkeep
from afstem.cli.answering import tell_trouble
from afstem.discretion import be_discreet
from afstem.errors import DONE, DONE_WITH_REFUSALS, AfstemError, UsageError
from afstem.logs import set_up_logs

__all__ = ["DONE", "DONE_WITH_REFUSALS", "commands", "console", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="afstem")
@click.option("-v", "--verbose", is_flag=True, help="Tell more on standard error.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How standard error is written; json: one object a line.",
)
def commands(verbose: bool, log_format: str) -> None:
    """Reconcile citizens' contact information from about 200 actors with one store.

    Try it on invented data:

    \b
      afstem sample demo
      cd demo
      afstem reference load reference
      afstem run
    """
    set_up_logs(verbose=verbose, as_json=log_format == "json")


for command in (
    runs.run,
    runs.runs,
    runs.show,
    store.reference,
    store.store,
    upkeep.doctor,
    upkeep.forget,
    server.bootstrap,
    server.serve,
    actor.check,
    actor.sign,
    actor.explain,
    sample.sample,
):
    commands.add_command(command)


def main() -> NoReturn:
    """The console script. Exit codes: 0 done, 1 failed and changed nothing, 2 wrong usage, 3 done with refusals."""
    as_json = "--json" in sys.argv
    try:
        sys.exit(commands(standalone_mode=False) or DONE)
    except click.exceptions.Abort:
        _stop(
            "interrupted; the next run takes up what was applied, and drops what was not",
            AfstemError.exit_code,
            as_json,
        )
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(UsageError.exit_code)
    except click.ClickException as error:
        _stop(f"{error.format_message()} (see 'afstem --help')", UsageError.exit_code, as_json)
    except AfstemError as error:
        _stop(str(error), error.exit_code, as_json)
    except Exception as error:  # noqa: BLE001 - the last resort of a command
        # The message of an unforeseen exception may hold personal data: tell where it happened, not what it says.
        tell_trouble("where it happened", trace="".join(traceback.format_tb(error.__traceback__)))
        _stop(f"internal error ({type(error).__name__})", AfstemError.exit_code, as_json)


def console() -> NoReturn:
    """The console script: `main` for a process that ends with it."""
    be_discreet()
    # A command makes a hundred thousand objects that stay, most of them modules: to look for garbage among them every
    # 700 objects takes a tenth of a second.
    gc.set_threshold(50_000)
    try:
        main()
    except SystemExit as end:
        exit_code = int(end.code or 0)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # `answer` has told of it
            stream.flush()
    # At once: taking the libraries down in order takes longer than any of the small commands.
    os._exit(exit_code)


def _stop(message: str, exit_code: int, as_json: bool) -> NoReturn:
    tell_trouble(message, exit_code=exit_code)
    if as_json:
        click.echo(json.dumps({"status": "failed", "error": message}))
    sys.exit(exit_code)
