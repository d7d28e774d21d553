"""README and docs: the commands exist, the links lead to something, every page is linked."""

import re
import shlex
import subprocess
from functools import partial
from pathlib import Path

import pytest

from edge_tdn.__main__ import main
from tests.conftest import ROOT

README = ROOT / "README.md"
PAGES = sorted([README, ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
SHELL = "\n".join(block for page in PAGES for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.S))
COMMANDS = re.findall(r"^(?:\.venv/bin/)?(edge-tdn(?:-export|-train)? .*?)(?: +#.*)?$", SHELL, re.M)
TARGETS = re.findall(r"^make ([\w-]+)", SHELL, re.M)
LINKS = [(page, target) for page in PAGES for target in re.findall(r"\]\(([^)\s:]+)\)", page.read_text())]


def test_there_are_commands_targets_and_links_to_test() -> None:
    """The parametrised tests below would pass on empty lists."""
    assert len(COMMANDS) >= 15
    assert len(TARGETS) >= 5
    assert len(LINKS) >= 15


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_accepted_by_its_parser(command: str) -> None:
    """The configuration files that it names exist in this repository."""
    program, *arguments = shlex.split(command)
    if program == "edge-tdn":
        from edge_tdn.cli.command_line import parser
    elif program == "edge-tdn-train":
        from edge_tdn_training import __main__ as trainer

        parser = partial(trainer._parser, arguments)
    else:
        from edge_tdn_export.__main__ import _parser as parser
    options = parser().parse_args(arguments)
    if getattr(options, "config", None):
        assert (ROOT / options.config).is_file()


def test_the_check_command_of_the_readme_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    (command,) = [command for command in COMMANDS if " check " in command]
    assert main(command.split()[1:]) == 0
    assert "configuration and model are right" in capsys.readouterr().out


@pytest.mark.parametrize("target", TARGETS)
def test_every_make_target_exists(target: str) -> None:
    assert subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True).returncode == 0


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(("page", "target"), LINKS, ids=lambda value: getattr(value, "name", value))
def test_every_link_leads_to_a_file_and_anchor(page: Path, target: str) -> None:
    file, _, anchor = target.partition("#")
    path = (page.parent / file).resolve() if file else page
    assert path.exists(), f"{page}: {target}"
    if anchor:
        assert anchor in _anchors(path), f"{page}: {target}"


def test_every_page_is_linked() -> None:
    """A page without a link to it is not found by readers."""
    linked = {(page.parent / target.partition("#")[0]).resolve() for page, target in LINKS}
    assert {page.resolve() for page in PAGES} - linked <= {README}
