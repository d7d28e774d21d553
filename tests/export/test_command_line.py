"""The command lines of exporter and trainer on a machine without the packages of the extra `export`."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest
from edge_tdn_export.command_line import run_command

BLOCKED = """
import importlib, sys

blocked, program, *arguments = sys.argv[1:]
sys.modules[blocked] = None
sys.exit(importlib.import_module(f"{program}.__main__").main(arguments))
"""
CONVERT = ("edge_tdn_export", "convert", "a.pth", "model", "--labels", "labels.txt")
FINETUNE = ("edge_tdn_training", "finetune", "--data", "clips", "--out", "model")


@pytest.mark.parametrize(
    ("module", "command", "message"),
    [
        ("torch", CONVERT, "edge-tdn-export needs PyTorch: install the extra `export` (in a checkout: make test)\n"),
        ("torch", FINETUNE, "edge-tdn-train needs PyTorch: install the extra `export` (in a checkout: make test)\n"),
        ("onnx", CONVERT, "edge-tdn-export needs ONNX: install the extra `export` (in a checkout: make test)\n"),
    ],
    ids=["convert", "finetune", "another package"],
)
def test_missing_package_is_reported_in_one_line(module: str, command: tuple[str, ...], message: str) -> None:
    """A blocked module stands for one that is not installed; the exit status is 78, without a traceback."""
    program = [sys.executable, "-c", BLOCKED, module, *command]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr, done.stdout) == (78, message, "")


def test_damaged_package_is_reported_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    def parse() -> None:
        raise ImportError("libtorch.so: cannot open shared object file", name="torch._C")

    assert run_command("edge-tdn-train", parse) == 78  # type: ignore[arg-type]
    message = "edge-tdn-train cannot import PyTorch (libtorch.so: cannot open shared object file): install the extra"
    assert capsys.readouterr().err.startswith(message)


def test_missing_module_of_the_project_is_a_fault_of_ours() -> None:
    def parse() -> None:
        raise ModuleNotFoundError("No module named 'edge_tdn.x'", name="edge_tdn.x")

    with pytest.raises(ModuleNotFoundError):
        run_command("edge-tdn-train", parse)  # type: ignore[arg-type]


def test_error_of_the_system_is_reported_with_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a name that is too long, a full disk, or a file that this user cannot read."""

    def parse() -> argparse.Namespace:
        return argparse.Namespace(command=lambda options: (tmp_path / "gone" / "labels.txt").read_bytes())

    assert run_command("edge-tdn-export", parse) == 1
    assert capsys.readouterr().err == f"edge-tdn-export: {tmp_path}/gone/labels.txt: No such file or directory\n"


def test_closed_pipe_ends_a_command_quietly() -> None:
    """As `edge-tdn-export inspect motion | head` closes it."""
    command = f"{sys.executable} -m edge_tdn_export inspect motion --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
