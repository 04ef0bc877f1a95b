"""What keeps the nights going: `afstem doctor` before trouble comes, `afstem forget` when its time is over."""

import re
from pathlib import Path
from typing import Any

import click

from afstem.arrow_set_up import set_up_arrow
from afstem.cli.answering import answer
from afstem.cli.options import config_option, json_option
from afstem.errors import DONE, UsageError


@click.command()
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
    answer(told(remarks), as_json, _tell_remarks)
    return verdict(remarks)[1]


def _tell_remarks(content: dict[str, Any]) -> None:
    for remark in content["remarks"]:
        do = f" -> {remark['do']}" if remark["do"] else ""
        click.echo(f"{remark['level']:<7}  {remark['about']:<13}  {remark['says']}{do}")


@click.command()
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

    answer(forget_old(config, _days(older_than), dry_run=dry_run), as_json, _tell_forgotten)
    return DONE


def _days(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}d?", text):
        raise UsageError(f"--older-than: {text!r} is no number of days; write it as 180d")
    return int(text.removesuffix("d"))


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
