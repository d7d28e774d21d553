"""The README's commands exist, its tree is the code's, its picture is there."""

import re
import subprocess
from functools import partial

import pytest

from edge_tdn.__main__ import main
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.S))
COMMANDS = re.findall(r"^(?:\.venv/bin/)?(edge-tdn(?:-export|-train)? .*?)(?: +#.*)?$", SHELL, re.M)


def test_there_are_commands_to_test() -> None:
    assert len(COMMANDS) >= 4


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed by the real parsers; the files that it names in this repository exist."""
    program, *arguments = command.split()
    if program == "edge-tdn":
        from edge_tdn.__main__ import _parser
    elif program == "edge-tdn-train":
        from edge_tdn_training import __main__ as trainer

        _parser = partial(trainer._parser, arguments)
    else:
        from edge_tdn_export.__main__ import _parser
    options = _parser().parse_args(arguments)
    if getattr(options, "config", None):
        assert (ROOT / options.config).is_file()


def test_the_check_command_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (command,) = [command for command in COMMANDS if " check " in command]
    assert main(command.split()[1:]) == 0
    assert "configuration and model are right" in capsys.readouterr().out


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", SHELL, re.M))
def test_every_make_target_is_there(target: str) -> None:
    assert subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True).returncode == 0


def test_the_tree_names_every_file_of_the_package() -> None:
    tree = README.split("## The tree")[1]
    for path in (*(ROOT / "edge_tdn").iterdir(), *(ROOT / "export").iterdir()):
        if path.name not in ("__init__.py", "__pycache__", "py.typed", "schemas", "demo.toml", "models"):
            assert path.name in tree, f"the README's tree does not name {path.name}"


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
