"""``python -m benchmarks``: make the data, run everything side by side, write ``RESULTS.md`` and ``results.json``."""

from pathlib import Path

import click

from benchmarks.machine import circumstances
from benchmarks.nightly import measure_country, measure_nights
from benchmarks.nights import COUNTRY, NIGHT, Nights, Program, scaled
from benchmarks.results import HERE, keep
from benchmarks.start_up import measure_start_up
from benchmarks.validation import measure_validation

SECTIONS = ("start-up", "validation", "nights", "country")


@click.command()
@click.option("--records", type=click.IntRange(1000), help="Records of a night.  [default: 1 million; country: 18]")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Timed runs of each side.")
@click.option(
    "--part", type=click.IntRange(100), default=100_000, show_default=True, help="Records a slow validator gets."
)
@click.option(
    "--only",
    type=click.Choice(SECTIONS),
    multiple=True,
    help="This section; may be repeated. [default: all but country]",
)
@click.option("--baseline/--no-baseline", default=True, help="Whether the whole night is run by the script too.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("var/bench"),
    show_default=True,
    help="Where data and stores are kept.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=HERE,
    help="Where the results go.  [default: benchmarks]",
)
def bench(
    records: int | None, rounds: int, part: int, only: tuple[str, ...], baseline: bool, data: Path, out: Path
) -> None:
    """Measure the program beside what others would use, and write the tables."""
    data = data.resolve()
    out.mkdir(parents=True, exist_ok=True)
    nights = Nights(data / "nights")
    night = scaled(NIGHT, records or NIGHT.records)
    country = scaled(COUNTRY, records or COUNTRY.records)
    for section in only or SECTIONS[:-1]:
        on = circumstances()
        if section == "start-up":
            measured = measure_start_up([Program()])[0]
        elif section == "validation":
            measured = measure_validation(nights, night, part, rounds)
        elif section == "nights":
            measured = measure_nights(nights, night, data / "stores", rounds, baseline=baseline)
        else:
            measured = measure_country(nights, country, data / "country", rounds)
        keep(section, measured, on, out)
    click.echo(f"written: {out / 'RESULTS.md'}")


if __name__ == "__main__":
    bench()
