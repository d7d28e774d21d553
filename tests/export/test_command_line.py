"""The command lines of exporter and trainer on a machine without the packages of the extra `export`."""

import os
import subprocess
import sys

import pytest
from edge_tdn_export.command_line import run_command

from edge_tdn.errors import ModelError
from edge_tdn.shell import install_extra
from tests.support.waiting import PROGRAM_S

EXTRA = install_extra("export")

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
        ("torch", CONVERT, "edge-tdn-export: needs the export extra (PyTorch is not installed): "),
        ("torch", FINETUNE, "edge-tdn-train: needs the export extra (PyTorch is not installed): "),
        ("onnx", CONVERT, "edge-tdn-export: needs the export extra (ONNX is not installed): "),
        ("ml_dtypes", CONVERT, "edge-tdn-export: needs the export extra (ml_dtypes is not installed): "),
        ("nncf", FINETUNE, "edge-tdn-train: needs the export extra (NNCF is not installed): "),
    ],
    ids=["convert", "finetune", "another package", "a package of a package", "before a training"],
)
def test_missing_package_is_reported_in_one_line(module: str, command: tuple[str, ...], message: str) -> None:
    """A blocked module stands for one that is not installed; the exit status is 78, without a traceback."""
    program = [sys.executable, "-c", BLOCKED, module, *command]
    done = subprocess.run(program, capture_output=True, text=True, timeout=PROGRAM_S)
    assert (done.returncode, done.stderr, done.stdout) == (78, message + EXTRA + "\n", "")


def test_damaged_package_is_reported_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    def parse() -> None:
        raise ImportError("libtorch.so: cannot open shared object file", name="torch._C")

    assert run_command("edge-tdn-train", parse) == 78  # type: ignore[arg-type]
    reason = "PyTorch cannot be imported: libtorch.so: cannot open shared object file"
    assert f"edge-tdn-train: needs the export extra ({reason}): " in capsys.readouterr().err


def test_missing_module_of_the_project_is_a_fault_of_ours() -> None:
    def parse() -> None:
        raise ModuleNotFoundError("No module named 'edge_tdn.x'", name="edge_tdn.x")

    with pytest.raises(ModuleNotFoundError):
        run_command("edge-tdn-train", parse)  # type: ignore[arg-type]


def test_closed_pipe_ends_a_command_quietly() -> None:
    """As `edge-tdn-export inspect motion | head` closes it."""
    command = f"{sys.executable} -m edge_tdn_export inspect motion --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=PROGRAM_S)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ModelError("the model is damaged"), 78, "the model is damaged"),
        (OSError(28, "No space left on device"), 1, "[Errno 28] No space left on device"),
        (MemoryError(), 71, "not enough memory"),
        (ModuleNotFoundError("", name="nncf"), 78, "needs the export extra (NNCF is not installed): " + EXTRA),
    ],
)
def test_an_error_is_printed_with_its_notes(
    error: Exception, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def parse() -> None:
        error.add_note("the weights are kept")
        raise error

    assert run_command("edge-tdn-train", parse) == status  # type: ignore[arg-type]
    assert capsys.readouterr().err == f"edge-tdn-train: {message}\nthe weights are kept\n"


def test_a_file_name_that_the_terminal_cannot_show_is_printed_nevertheless() -> None:
    """An old terminal's encoding has neither arrows nor the bytes of another encoding."""
    program = (
        "import argparse; from edge_tdn_export.command_line import run_command\n"
        "options = argparse.Namespace(run=lambda _: print('run → \\udcff: done') or 0)\n"
        "raise SystemExit(run_command('edge-tdn-train', lambda: options))"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, timeout=PROGRAM_S)
    assert (done.returncode, done.stdout) == (0, b"run \\u2192 \\udcff: done\n"), done.stderr


LOST = """
import os, signal, sys, weakref
from edge_tdn_export.command_line import run_command
from edge_tdn_export.progress import stepped

class Graph:
    pass

def run(options):
    with stepped(2) as step:
        step("first")
        graph = Graph()
        {lose}
        step("second")
    print("not interrupted")
    return 0

class Options:
    pass

Options.run = staticmethod(run)
sys.exit(run_command("edge-tdn-export", Options))
"""
INTERRUPT = "os.kill(os.getpid(), signal.SIGINT)"


@pytest.mark.parametrize(
    "lose",
    [
        f"""
        def end(reference):
            {INTERRUPT}
            sum(range(1000))
        kept = weakref.ref(graph, end)
        del graph
        while True:  # a library's long work
            sum(range(1000))
""",
        f"""
        try:
            {INTERRUPT}
            sum(range(1000))
        except KeyboardInterrupt:
            raise RuntimeError("an operator failed")
""",
        f"""
        try:
            {INTERRUPT}
            sum(range(1000))
        except KeyboardInterrupt:
            pass
""",
    ],
    ids=["in a callback", "as another error", "without a trace"],
)
def test_interrupt_that_a_library_loses_ends_the_command(lose: str) -> None:
    """PyTorch loses it in these ways. The command would continue and write its file."""
    program = [sys.executable, "-c", LOST.format(lose=lose.strip())]
    done = subprocess.run(program, capture_output=True, text=True, timeout=PROGRAM_S)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.splitlines()[-1] == "edge-tdn-export: stopped, nothing written"
    assert "Exception ignored" not in done.stderr
