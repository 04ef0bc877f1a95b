"""``python -m afstem``."""

from afstem.cli import main

main()
