"""What an actor does with an extract before sending it, and with what came back: `afstem check`, `sign`, `explain`."""

from pathlib import Path
from typing import Any

import click

from afstem.arrow_set_up import set_up_arrow
from afstem.cli.answering import answer, plain
from afstem.cli.options import json_option
from afstem.errors import DONE, DONE_WITH_REFUSALS

encoding_option = click.option(
    "--encoding",
    type=click.Choice(["utf-8", "windows-1252", "iso-8859-1"]),
    default="utf-8",
    show_default=True,
    help="How a CSV file is encoded.",
)


@click.command()
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
    answer(result, as_json, _tell_check)
    return DONE_WITH_REFUSALS if result["refused"] else DONE


def _tell_check(content: dict[str, Any]) -> None:
    if content["refused"]:
        click.echo(
            f"{content['file']}: would be refused: {content['refused']['code']} ({content['refused']['reason']})"
        )
        return
    click.echo(f"{content['file']}: {content['records']:,} records, {content['rejected']:,} would be rejected")
    for code, count in content["findings"].items():
        click.echo(f"  {count:>9,}  {code}  {plain(code)}")
    for code, count in content["notices"].items():
        click.echo(f"  {count:>9,}  {code}  {plain(code)} (accepted)")
    for first in content["first"]:
        perhaps = f" (suggestion: {first['suggestion']})" if first["suggestion"] else ""
        click.echo(f"  record {first['record_no']}: {first['code']} {first['reason']}{perhaps}")
    if content["rejected"] > len(content["first"]):
        click.echo("  ...")


@click.command()
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

    answer(sign_file(file, actor, user, signing_key(key), encoding), as_json, _tell_signed)
    return DONE


def _tell_signed(content: dict[str, Any]) -> None:
    click.echo(f"{content['manifest']}: {content['records']:,} records of {content['file']} signed")


@click.command()
@click.argument("code")
@json_option
def explain(code: str, as_json: bool) -> int:
    """Explain an error CODE or a notice: what it means, whose move it is, how to mend it."""
    from afstem.explain import explain_code

    answer(explain_code(code), as_json, _tell_code)
    return DONE


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
