"""The commands of SPEC 7, thin: they ask, call the steps, and print.

Imports stand inside the commands, so that ``afstem --help`` and ``afstem explain`` answer at once.
"""

import contextlib
import gc
import json
import os
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import click

from afstem.arrow_set_up import set_up_arrow
from afstem.discretion import be_discreet
from afstem.errors import AfstemError, UsageError
from afstem.logs import are_json, log, set_up_logs

DONE, DONE_WITH_REFUSALS = 0, 3

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("afstem.toml"),
    show_default=True,
    help="The configuration file; paths in it start at its own folder.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
encoding_option = click.option(
    "--encoding",
    type=click.Choice(["utf-8", "windows-1252", "iso-8859-1"]),
    default="utf-8",
    show_default=True,
    help="How a CSV file is encoded.",
)


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
        _tell_trouble("where it happened", trace="".join(traceback.format_tb(error.__traceback__)))
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
        with contextlib.suppress(OSError):  # `_print` has told of it
            stream.flush()
    # At once: taking the libraries down in order takes longer than any of the small commands.
    os._exit(exit_code)


def _stop(message: str, exit_code: int, as_json: bool) -> NoReturn:
    _tell_trouble(message, exit_code=exit_code)
    if as_json:
        click.echo(json.dumps({"status": "failed", "error": message}))
    sys.exit(exit_code)


def _tell_trouble(message: str, **more: Any) -> None:
    """On standard error, in the form that was asked for."""
    if are_json():
        log.error(message, extra=more)
    else:
        click.echo(more.get("trace", f"afstem: {message}"), err=True)


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


@commands.command()
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
    _print(summary, as_json, _tell_run)
    return DONE if summary["status"] == "completed" else DONE_WITH_REFUSALS


@commands.group()
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

    _print({"loaded": load(config, folder)}, as_json, _tell_loaded)
    return DONE


@commands.group()
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

    _print(init(config, {"run": run_roles, "load": load_roles, "analyst": analyst_roles}), as_json, _tell_store)
    return DONE


@store.command("upgrade")
@config_option
@json_option
def upgrade_store(config: Path, as_json: bool) -> int:
    """Bring the store's tables up to date, as its owner; what was granted holds for new tables as well.

    An SQLite store is brought up to date by the next run as well.
    """
    from afstem.administration import upgrade_store as upgrade

    _print(upgrade(config), as_json, _tell_store)
    return DONE


@commands.command()
@config_option
@json_option
def runs(config: Path, as_json: bool) -> int:
    """List the runs, newest first."""
    from afstem.report.history import past_runs
    from afstem.settings import load_settings

    keys = ("run_id", "status", "as_of", "dry_run", "records", "outcomes")
    lines = [{key: getattr(run, key) for key in keys} for run in past_runs(load_settings(config).reports)]
    _print({"runs": lines}, as_json, _tell_runs)
    return DONE


@commands.command()
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
    _print(summarise_run(manifest_of(reports, chosen[0]), reports), as_json, _tell_run)
    return DONE


def _verify(config: Path, run_id: str | None, as_json: bool) -> int:
    from afstem.verify import verify_reports

    found = verify_reports(config, run_id)
    _print(asdict(found) | {"lines": list(map(str, found.faults))}, as_json, _tell_verified)
    return DONE_WITH_REFUSALS if found.faults else DONE


@commands.command()
@click.option("--older-than", metavar="DAYS", required=True, help="What is older than so many days, such as 180d.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@config_option
@json_option
def forget(older_than: str, dry_run: bool, config: Path, as_json: bool) -> int:
    """Remove landed extracts, and reports with their receipts, whose time is over.

    Kept: held extracts, and whatever a run needs that was interrupted. The ledger stays: what was applied is not
    applied again when it is delivered anew. Contacts and their history stay as they are.
    """
    set_up_arrow()
    from afstem.forget import forget as forget_old

    _print(forget_old(config, _days(older_than), dry_run=dry_run), as_json, _tell_forgotten)
    return DONE


@commands.command()
@config_option
@json_option
def doctor(config: Path, as_json: bool) -> int:
    """Tell what would hinder tonight's run, and what to do about it.

    \b
    configuration  both files, codelist, permissions, keys of those that sign
    store          reached, its version, the rights of the role
    sources        each actor's can be listed
    clock          of this machine, its disks and the store agree
    disk           landing, reports and store take files, and have room
    permissions    nobody else reads what is personal
    prefect        the server, its limit, automation and deployments

    Run it as the user, and with the environment, that runs at night. Nothing is changed.
    Exit code 0: all is well. 3: a run would leave something out, or trouble is coming. 1: it would fail. 2: the
    configuration is wrong.
    """
    set_up_arrow()
    from afstem.doctor import examine, told, verdict
    from afstem.orchestration.health import examine_server

    remarks = examine(config, [("prefect", examine_server)])
    _print(told(remarks), as_json, _tell_remarks)
    return verdict(remarks)[1]


@commands.command()
@config_option
@json_option
def bootstrap(config: Path, as_json: bool) -> int:
    """Set up the Prefect server of PREFECT_API_URL: work pool, limit, automation and all deployments.

    It may be repeated whenever you like, and changes only what is not as it should be. After it, a worker does the
    runs: prefect worker start --pool afstem
    """
    from afstem.orchestration.bootstrap import bootstrap as set_up

    _print(set_up(config), as_json, _tell_bootstrap)
    return DONE


@commands.command()
@config_option
def serve(config: Path) -> int:
    """Do the scheduled and ad-hoc runs of the Prefect server of PREFECT_API_URL in this process, without a worker.

    The same deployments as `afstem bootstrap` registers for a worker; use one or the other.
    """
    from afstem.orchestration.bootstrap import prepare
    from afstem.orchestration.deployments import serve as serve_until_interrupted

    for advice in prepare():
        _tell_trouble(f"advice: {advice}")
    serve_until_interrupted(config)
    return DONE


@commands.command()
@click.argument("code")
@json_option
def explain(code: str, as_json: bool) -> int:
    """Explain an error CODE or a notice: what it means, whose move it is, how to mend it."""
    from afstem.explain import explain_code

    _print(explain_code(code), as_json, _tell_code)
    return DONE


@commands.command()
@click.argument("file", type=click.Path(path_type=Path))
@encoding_option
@click.option("--codelist", type=click.Path(path_type=Path), help="A kontaktdatatype.toml; left out: the shipped one.")
@json_option
def check(file: Path, encoding: str, codelist: Path | None, as_json: bool) -> int:
    """Check an extract before sending it: everything that can be told without the store.

    Whether a citizen is known, dead, yours or has a subscription is judged in the run alone.
    Exit code 3: the file would be refused whole (1012, 1013, 1014).
    """
    set_up_arrow()
    from afstem.check import check_file
    from afstem.progress import progress

    with progress("records") as advance:
        result = check_file(file, encoding, codelist, advance)
    _print(result, as_json, _tell_check)
    return DONE_WITH_REFUSALS if result["refused"] else DONE


@commands.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--actor", required=True, help="Your id as actor.")
@click.option("--user", required=True, help="The user whose key it is, as the receiver knows it.")
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    help="The file of the private key.  [default: what AFSTEM_SIGNING_KEY holds]",
)
@encoding_option
@json_option
def sign(file: Path, actor: str, user: str, key: Path | None, encoding: str, as_json: bool) -> int:
    """Sign an extract: write FILE.jwt, which proves who sent it (an actor whose login is "manifest").

    The key is Ed25519 or P-256, from openssl or ssh-keygen. A key with a passphrase needs AFSTEM_SIGNING_PASSPHRASE.
    Send the manifest before the extract, so that no night finds an extract without it.
    """
    set_up_arrow()
    from afstem.settings import signing_key
    from afstem.sign import sign_file

    _print(sign_file(file, actor, user, signing_key(key), encoding), as_json, _tell_signed)
    return DONE


@commands.command()
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
    _print({"folder": str(folder)} | written.to_json(), as_json, _tell_sample)
    return DONE


# --- telling ----------------------------------------------------------------------------------------------------------


def _print(content: dict[str, Any], as_json: bool, tell: Callable[[dict[str, Any]], None]) -> None:
    """Tell what was done. Where nobody hears it, it is done all the same, and the exit code says so."""
    try:
        if as_json:
            click.echo(json.dumps(content, ensure_ascii=False))
        else:
            tell(content)
    except BrokenPipeError:
        return  # the reader has had enough
    except OSError as error:
        _tell_trouble(f"this was done, but standard output cannot be written: {error.strerror}")


def _tell_run(summary: dict[str, Any]) -> None:
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
        click.echo(f"  {count:>9,}  {code}  {_plain(code)}")
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


def _tell_loaded(content: dict[str, Any]) -> None:
    for name, count in content["loaded"].items():
        click.echo(f"{name}: {count:,} loaded")


def _tell_remarks(content: dict[str, Any]) -> None:
    for remark in content["remarks"]:
        do = f" -> {remark['do']}" if remark["do"] else ""
        click.echo(f"{remark['level']:<7}  {remark['about']:<13}  {remark['says']}{do}")


def _tell_bootstrap(content: dict[str, Any]) -> None:
    for changed in content["changed"]:
        click.echo(f"made or mended: {changed}")
    if not content["changed"]:
        click.echo("nothing to change")
    click.echo(f"deployments: {', '.join(content['deployments'])}")
    for advice in content["advice"]:
        _tell_trouble(f"advice: {advice}")
    click.echo(f"next: prefect worker start --pool {content['pool']}")


def _tell_store(content: dict[str, Any]) -> None:
    before, now = content["before"], content["version"]
    become = "is up to date" if before == now else f"upgraded from {before}" if before else "made"
    click.echo(f"store: {become} (version {now})")
    for kind, names in content["roles"].items():
        if names:
            click.echo(f"  {kind}: {', '.join(names)}")


def _tell_runs(content: dict[str, Any]) -> None:
    for line in content["runs"]:
        held = f"  {line['outcomes']['held']:,} held" if line["outcomes"]["held"] else ""
        dry = "  dry run" if line["dry_run"] else ""
        click.echo(
            f"{line['run_id']}  as of {line['as_of']}  {line['records']:>12,} records  {line['status']}{held}{dry}"
        )
    if not content["runs"]:
        click.echo("no runs yet; 'afstem run' makes the first")


def _tell_verified(content: dict[str, Any]) -> None:
    for line in content["lines"]:
        click.echo(line)
    forgotten = f", {content['forgotten']:,} forgotten before" if content["forgotten"] else ""
    click.echo(f"{content['reports']:,} reports verified{forgotten}: {len(content['lines']):,} faults")


def _tell_forgotten(content: dict[str, Any]) -> None:
    done = "would be removed" if content["dry_run"] else "removed"
    for run_id in content["runs"]:
        click.echo(f"report {run_id}: {done}")
    for part, became in (("extracts", done), ("kept", "kept, a run may need it")):
        for extract in content[part]:
            click.echo(f"extract {extract['actor']}-{extract['sha256'][:12]}: {became}")
    size = sum(extract["bytes"] for extract in content["extracts"])
    click.echo(
        f"older than {content['before']}: {len(content['runs']):,} reports and {len(content['extracts']):,} extracts "
        f"({size:,} bytes) {done}"
    )


def _tell_code(content: dict[str, Any]) -> None:
    click.echo(f"{content['code']}  {content['plain_en']} / {content['plain_da']}")
    if "official_en" in content:
        click.echo(f"  officially:  {content['official_en']}")
        if content["official_da"]:
            click.echo(f"               {content['official_da']}")
    else:
        click.echo("  a notice:    the record is accepted all the same")
    click.echo(f"  whose move:  {content['whose_move']}")
    click.echo(f"  how to mend: {content['fix_en']}")
    click.echo(f"               {content['fix_da']}")


def _tell_check(content: dict[str, Any]) -> None:
    if content["refused"]:
        click.echo(
            f"{content['file']}: would be refused: {content['refused']['code']} ({content['refused']['reason']})"
        )
        return
    click.echo(f"{content['file']}: {content['records']:,} records, {content['rejected']:,} would be rejected")
    for code, count in content["findings"].items():
        click.echo(f"  {count:>9,}  {code}  {_plain(code)}")
    for code, count in content["notices"].items():
        click.echo(f"  {count:>9,}  {code}  {_plain(code)} (accepted)")
    for first in content["first"]:
        perhaps = f" (suggestion: {first['suggestion']})" if first["suggestion"] else ""
        click.echo(f"  record {first['record_no']}: {first['code']} {first['reason']}{perhaps}")
    if content["rejected"] > len(content["first"]):
        click.echo("  ...")


def _tell_signed(content: dict[str, Any]) -> None:
    click.echo(f"{content['manifest']}: {content['records']:,} records of {content['file']} signed")


def _tell_sample(content: dict[str, Any]) -> None:
    click.echo(f"{content['folder']}: " + ", ".join(f"{v:,} {k}" for k, v in content.items() if isinstance(v, int)))
    click.echo(f"next: cd {content['folder']} && afstem reference load reference && afstem run")


def _plain(code: str) -> str:
    from afstem.explain import explain_code

    return str(explain_code(code)["plain_en"])


def _days(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}d?", text):
        raise UsageError(f"--older-than: {text!r} is no number of days; write it as 180d")
    return int(text.removesuffix("d"))


def _date(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--as-of: {text!r} is no date; write it as 2026-11-23") from None
