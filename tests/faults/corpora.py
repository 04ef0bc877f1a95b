"""Judge every file of a folder, whatever it is, as an extract of every kind: ``corpora.py FOLDER … [--json]``.

For collections of odd files that others have gathered, such as apache/parquet-testing, apache/arrow-testing,
nst/JSONTestSuite and max-mapper/csv-spectrum. Each file must be read or refused within the limits; anything else is
told, and the exit code is 1.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from afstem.decode import FORMATS, Header, parquet_rows
from afstem.workers import Workers, workers
from faults.watched import GIBIBYTE, Watched, watch


def any_header(names: Sequence[str]) -> Header:
    """Nobody's collection has the columns of our extracts; without this a Parquet file would be refused by its header,
    and never be decoded."""
    return Header(tuple(names), tuple(f"extra.{number}" for number in range(len(names))))


parquet_rows.build_header = any_header


def judge_folder(folder: Path, beside: Workers) -> Iterator[Watched]:
    """Every file of a folder and those below it, by the name of each format in turn."""
    with tempfile.TemporaryDirectory(prefix="afstem-corpora-") as links:
        for file in sorted(path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts):
            for ending in FORMATS:
                link = Path(links) / f"x{ending}"
                link.symlink_to(file.resolve())
                found = watch(beside, link)
                link.unlink()
                yield Watched(f"{file.relative_to(folder)} as {ending}", *list(vars(found).values())[1:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", metavar="FOLDER", type=Path, nargs="+")
    bad = 0
    with workers(1, "fork") as beside:
        for folder in parser.parse_args().folders:
            found = list(judge_folder(folder, beside))
            verdicts = Counter(one.verdict for one in found)
            slowest, largest = (
                max(found, key=key) for key in (lambda one: one.cpu_seconds, lambda one: one.peak_bytes)
            )
            print(f"{folder}: {len(found) // len(FORMATS)} files, {len(found)} judgements: {dict(verdicts)}")
            print(f"  slowest {slowest.cpu_seconds:.2f} s CPU: {slowest.file}")
            print(f"  largest {largest.peak_bytes / 2**20:.0f} MiB: {largest.file}")
            for one in found:
                if one.failed or one.peak_bytes > GIBIBYTE:
                    print(f"  {one}")
                    bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
