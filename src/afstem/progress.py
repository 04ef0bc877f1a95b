"""Progress on standard error, for a person at a terminal; silent where nobody watches."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from afstem.logs import are_json


@contextmanager
def progress(unit: str) -> Iterator[Callable[[int], None]]:
    """Count ``unit`` while something runs; the function it gives adds to the count and may be called from threads."""
    if not sys.stderr.isatty() or are_json():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} " + unit), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(unit, total=None)
        yield lambda count: bar.advance(task, count)
