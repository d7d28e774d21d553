"""Completion, asked for as the shells do it: bash always, zsh and fish where they are installed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_tdn.cli.command_line import parser
from edge_tdn.help.completion import SHELLS, completion
from edge_tdn.help.parser import command_parsers
from tests.support.waiting import PROGRAM_S

ASK_BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
$(complete -p edge-tdn | sed 's/.*-F \\([^ ]*\\) .*/\\1/') 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""
ASK_FISH = "source $argv[1]; complete -C $argv[2] | cut -f1"
OPTIONS = {  # what a script has for the options of a command
    "bash": r"_shtab_edge_tdn_{}_option_strings=\((.*?)\)",
    "zsh": r"_shtab_edge_tdn_{}_options=\((.*?)\n\)",
    "fish": r"-n '_shtab_edge_tdn_using {}'([^\n]*)",
}
ASKED = [
    ("che", {"check"}),
    ("check --con", {"--config"}),
    ("bench --model mo", {"motion"}),
    ("bench --precision ", {"fp32", "fp16", "bf16", "int8"}),
    ("bench --device C", {"CPU", "CUDA"}),
    ("docs troub", {"troubleshooting"}),
    ("reference dec", {"decide", "decide.action"}),
    ("completion ", set(SHELLS)),
    ("check --config si", {"site.toml"}),
]


def script_of(shell: str, folder: Path) -> Path:
    """Write the script as the program prints it."""
    script = folder / f"edge-tdn.{shell}"
    program = [sys.executable, "-m", "edge_tdn", "completion", shell]
    script.write_bytes(subprocess.run(program, capture_output=True, check=True, timeout=PROGRAM_S).stdout)
    return script


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("completion")
    return {shell: script_of(shell, folder) for shell in SHELLS}


def answers(command: list[str], folder: Path) -> set[str]:
    (folder / "site.toml").touch()
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=PROGRAM_S, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(("line", "expected"), ASKED)
def test_bash_completes_commands_options_models_and_files(
    line: str, expected: set[str], scripts: dict[str, Path], tmp_path: Path
) -> None:
    words = ["edge-tdn", *line.split(" ")]
    assert answers(["bash", "-c", ASK_BASH, "bash", str(scripts["bash"]), *words], tmp_path) == expected


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
@pytest.mark.parametrize(("line", "expected"), ASKED)
def test_fish_completes_the_same(line: str, expected: set[str], scripts: dict[str, Path], tmp_path: Path) -> None:
    command = ["fish", "--no-config", "-c", ASK_FISH, str(scripts["fish"]), f"edge-tdn {line}"]
    assert answers(command, tmp_path) == expected


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_accepts_the_script_and_knows_what_it_completes(scripts: dict[str, Path], tmp_path: Path) -> None:
    """As in ~/.zshrc: the script is a file _edge-tdn in a folder of $fpath."""
    shutil.copy(scripts["zsh"], tmp_path / "_edge-tdn")
    program = "fpath=($1 $fpath); autoload -U compinit; compinit -u -d $1/dump; print ${_comps[edge-tdn]}"
    assert answers(["zsh", "-f", "-c", program, "zsh", str(tmp_path)], tmp_path) == {"_edge-tdn"}
    subprocess.run(["zsh", "-n", str(scripts["zsh"])], check=True)


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_option_is_in_every_script(shell: str) -> None:
    script = completion(parser(), shell)
    for name, command in command_parsers(parser()).items():
        own = " ".join(re.findall(OPTIONS[shell].format(name), script, re.S))
        for option in (option for action in command._actions for option in action.option_strings):
            kind = "-l" if option.startswith("--") else "-s"
            written = f"{kind} {option.lstrip('-')}" if shell == "fish" else option
            assert re.search(rf"(?<![\w-]){written}(?![\w-])", own), (name, option)
