"""``python -m afstem``."""

from afstem.cli import console

console()
