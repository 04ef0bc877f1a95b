"""What the documentation says can be done, is done as it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import reference_page

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])

_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")


def test_a_first_night_goes_as_it_is_told(tmp_path: Path) -> None:
    """All commands of the tutorial, in one shell that stops at the first that fails."""
    page = (ROOT / "docs" / "first-night.md").read_text(encoding="utf-8")
    commands = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    done = subprocess.run(
        ["sh", "-euc", commands],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [balance] = re.findall(r"```\n(  .*? applied .*)\n```", page)
    assert balance in done.stdout
    assert "nothing new: every extract was applied before" in done.stdout
    receipts = list(tmp_path.glob("demo/reports/*/receipts/jobcenter-01100/rejected.csv"))
    assert len(receipts) == 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target, _ in _LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_reference_is_what_the_code_says() -> None:
    written = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert written == reference_page.page(), "make reference writes it anew"


def test_the_commands_of_the_readme_are_all_there_are() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in reference_page.cli.commands.commands:
        assert f"afstem {name}" in page, name
