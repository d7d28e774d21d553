"""`edge-tdn-train COMMAND --help` on a machine without PyTorch."""

import subprocess
import sys
from pathlib import Path

import pytest
from edge_tdn_training.__main__ import COMMANDS
from edge_tdn_training.unimported_help import unimported_help

from tests.support.training_tasks import environment

WITHOUT = [name for name in COMMANDS if name != "show-motion"]  # whose module needs no PyTorch


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_is_printed_without_pytorch(command: str, tmp_path: Path) -> None:
    """What it does, its examples and exit statuses; the last line names the command that installs the rest."""
    for name in ("torch", "matplotlib"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError({name!r}, name={name!r})\n")
    with_fakes = environment()
    with_fakes["PYTHONPATH"] = f"{tmp_path}:{with_fakes.get('PYTHONPATH', '')}"
    line = [sys.executable, "-m", "edge_tdn_training", command, "--help"]
    done = subprocess.run(line, capture_output=True, text=True, env=with_fakes, timeout=60)
    described = unimported_help(COMMANDS[command][0])
    assert described
    assert described.above_options() in done.stdout
    assert described.below_options() in done.stdout
    assert "Traceback" not in done.stderr
    assert (done.returncode == 78) == (command in WITHOUT)
    assert done.stdout.startswith(f"usage: edge-tdn-train {command} [OPTIONS]") == (command in WITHOUT)
    assert ("needs the export extra" in done.stderr) == (command in WITHOUT)
