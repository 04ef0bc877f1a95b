"""How a command answers: what was done on standard output, what went wrong on standard error."""

import json
from collections.abc import Callable
from typing import Any

import click

from afstem.logs import are_json, log


def answer(content: dict[str, Any], as_json: bool, tell: Callable[[dict[str, Any]], None]) -> None:
    """Tell what was done. Where nobody hears it, it is done all the same, and the exit code says so."""
    try:
        if as_json:
            click.echo(json.dumps(content, ensure_ascii=False))
        else:
            tell(content)
    except BrokenPipeError:
        return  # the reader has had enough
    except OSError as error:
        tell_trouble(f"this was done, but standard output cannot be written: {error.strerror}")


def tell_trouble(message: str, **more: Any) -> None:
    """On standard error, in the form that was asked for."""
    if are_json():
        log.error(message, extra=more)
    else:
        click.echo(more.get("trace", f"afstem: {message}"), err=True)


def plain(code: str) -> str:
    """A code or a notice in our own words."""
    from afstem.explain import explain_code

    return str(explain_code(code)["plain_en"])
