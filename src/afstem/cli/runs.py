"""`afstem run`, and what is told afterwards: `runs`, `show`."""

import os
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import click

from afstem.arrow_set_up import set_up_arrow
from afstem.cli.answering import answer, plain
from afstem.cli.options import config_option, json_option
from afstem.errors import DONE, DONE_WITH_REFUSALS, UsageError


@click.command()
@config_option
@click.option(
    "--as-of", metavar="DATE", help="The day on which permissions and subscriptions are judged. [default: today]"
)
@click.option("--actor", "actors", metavar="ID", multiple=True, help="Take in this actor only; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Judge and report everything, but leave the store as it is.")
@click.option("--release", metavar="EXTRACT_ID", multiple=True, help="Let this held extract through; may be repeated.")
@json_option
def run(
    config: Path, as_of: str | None, actors: tuple[str, ...], dry_run: bool, release: tuple[str, ...], as_json: bool
) -> int:
    """Run once: pull every actor's extracts, judge, apply, report.

    Exit code 0: done. 3: done, but an extract was refused or held, or an actor was unavailable. 1: the run failed and
    changed nothing. 2: wrong usage or configuration.
    """
    set_up_arrow()
    from afstem.pipeline import Request
    from afstem.pipeline import run as run_once
    from afstem.progress import progress

    request = Request(config=config, as_of=_date(as_of), actors=actors or None, dry_run=dry_run, release=release)
    with progress("records") as advance:
        summary = run_once(request, os.cpu_count() or 1, advance)
    answer(summary, as_json, tell_run)
    return DONE if summary["status"] == "completed" else DONE_WITH_REFUSALS


def _date(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--as-of: {text!r} is no date; write it as 2026-11-23") from None


def tell_run(summary: dict[str, Any]) -> None:
    """What came of a run, in lines for people."""
    outcomes = summary["outcomes"]
    click.echo(
        f"{summary['run_id']}: {summary['status']}{' (dry run: the store is unchanged)' if summary['dry_run'] else ''}"
    )
    click.echo(
        f"  {summary['records']:,} records = " + " + ".join(f"{count:,} {name}" for name, count in outcomes.items())
    )
    would = "would be " if summary["dry_run"] else ""
    click.echo(f"  {would}changed: " + ", ".join(f"{count:,} {name}" for name, count in summary["changes"].items()))
    for code, count in summary["findings"].items():
        click.echo(f"  {count:>9,}  {code}  {plain(code)}")
    for extract in summary["extracts"]:
        if extract["state"] != "applied":
            click.echo(f"  {extract['actor']}: {extract['file']}: {extract['state']}")
        elif extract["hold"]:
            click.echo(f"  {extract['actor']}: {extract['file']}: released")
        if extract["state"] == "held":
            shares = ", ".join(
                f"{share['reason']} {share['part']:,} of {share['whole']:,}" for share in extract["hold"]
            )
            click.echo(f"    {shares}; let it through: afstem run --release {extract['id']}")
    for actor in summary["unavailable"]:
        click.echo(f"  {actor}: unavailable")
    if not summary["records"] and summary["extracts"]:
        click.echo("  nothing new: every extract was applied before, or refused")
    click.echo(f"  report: {summary['report']}/index.html")


@click.command()
@config_option
@json_option
def runs(config: Path, as_json: bool) -> int:
    """List the runs, newest first."""
    from afstem.report.history import past_runs
    from afstem.settings import load_settings

    keys = ("run_id", "status", "as_of", "dry_run", "records", "outcomes")
    lines = [{key: getattr(run, key) for key in keys} for run in past_runs(load_settings(config).reports)]
    answer({"runs": lines}, as_json, _tell_runs)
    return DONE


def _tell_runs(content: dict[str, Any]) -> None:
    for line in content["runs"]:
        held = f"  {line['outcomes']['held']:,} held" if line["outcomes"]["held"] else ""
        dry = "  dry run" if line["dry_run"] else ""
        click.echo(
            f"{line['run_id']}  as of {line['as_of']}  {line['records']:>12,} records  {line['status']}{held}{dry}"
        )
    if not content["runs"]:
        click.echo("no runs yet; 'afstem run' makes the first")


@click.command()
@click.argument("run_id", metavar="RUN", required=False)
@click.option(
    "--verify", is_flag=True, help="Tell whether its report is as the run wrote it; without RUN, all reports."
)
@config_option
@json_option
def show(run_id: str | None, verify: bool, config: Path, as_json: bool) -> int:
    """Tell what came of one RUN (its id, or "latest").

    With --verify, exit code 3: something was edited, added or moved, or is missing; a line tells each.
    """
    set_up_arrow()
    from afstem.pipeline import summarise_run
    from afstem.report.history import past_runs
    from afstem.report.publication import manifest_of
    from afstem.settings import load_settings

    reports = load_settings(config).reports
    if verify:
        if run_id == "latest":
            run_id = next((run.run_id for run in past_runs(reports)), run_id)
        return _verify(config, run_id, as_json)
    if run_id is None:
        raise UsageError("name a RUN, or \"latest\"; 'afstem runs' lists them")
    chosen = [run.run_id for run in past_runs(reports) if run_id in ("latest", run.run_id)]
    if not chosen:
        raise UsageError(f"no such run: {run_id}; 'afstem runs' lists them")
    answer(summarise_run(manifest_of(reports, chosen[0]), reports), as_json, tell_run)
    return DONE


def _verify(config: Path, run_id: str | None, as_json: bool) -> int:
    from afstem.verify import verify_reports

    found = verify_reports(config, run_id)
    answer(asdict(found) | {"lines": list(map(str, found.faults))}, as_json, _tell_verified)
    return DONE_WITH_REFUSALS if found.faults else DONE


def _tell_verified(content: dict[str, Any]) -> None:
    for line in content["lines"]:
        click.echo(line)
    forgotten = f", {content['forgotten']:,} forgotten before" if content["forgotten"] else ""
    click.echo(f"{content['reports']:,} reports verified{forgotten}: {len(content['lines']):,} faults")
