"""The program: its help, how lightly it starts, and how it exits. No user ever sees a traceback."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_tdn import __version__
from edge_tdn.__main__ import main
from tests.support.command_line import Run, assert_refused, camera_site
from tests.support.waiting import PROGRAM_S

HEAVY = {"numpy", "pydantic", "cv2", "openvino", "rich", "paho", "gi", "PIL", "prometheus_client", "tomllib"}


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"edge-tdn {__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    """Every start of the program imports the files of all commands; what is heavy waits for `run`."""
    program = "import sys, edge_tdn.cli.command_line as c; c.parser().format_help(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in done.stdout.split()} & HEAVY


def test_status_loads_neither_the_network_nor_a_camera() -> None:
    program = (
        "import sys; from edge_tdn.__main__ import main; "
        "assert main(['status', '--broker', 'mqtt://127.0.0.1:1']) == 69; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert {"paho", "rich"} <= loaded
    assert not loaded & {"openvino", "cv2", "gi", "PIL", "prometheus_client"}


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_misspelt_key_is_exit_78_before_anything_that_computes_is_loaded(
    command: str, edge_tdn: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    result = edge_tdn(command, "--config", camera_site(tmp_path, "[decide]\nenter_treshold = 0.5"))
    assert_refused(result, 78, "site.toml:2: decide.enter_treshold: unknown key; did you mean 'enter_threshold'?")
    assert re.search(r"\| +edge_tdn\.config$", result.stderr, re.M)
    assert not re.search(r"\| +openvino", result.stderr)


def test_a_source_without_pictures_is_exit_66_and_the_last_line_says_why(edge_tdn: Run, tmp_path: Path) -> None:
    result = edge_tdn("run", "--config", camera_site(tmp_path, source="gone.mp4"))
    assert_refused(result, 66)
    last = result.stderr.splitlines()[-1]
    assert last.startswith("edge-tdn: ")
    assert "No such file" in last


def test_a_broker_that_does_not_answer_is_exit_69(edge_tdn: Run) -> None:
    result = edge_tdn("demo", "--broker", "mqtt://127.0.0.1:1", "--seconds", "3")
    assert_refused(result, 69, "127.0.0.1:1", "refused")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        ("MemoryError()", 71, "device CPU ran out of memory, computing a clip: MemoryError; take a smaller model"),
        (
            "RuntimeError('at x.cpp:1\\n[GPU] CL_OUT_OF_HOST_MEMORY')",
            71,
            "computing a clip: [GPU] CL_OUT_OF_HOST_MEMORY; take",
        ),
        (
            "ZeroDivisionError('division by zero')",
            1,
            "edge-tdn: runtime failed: ZeroDivisionError: division by zero, 0 s after the model was compiled again; ch",
        ),
    ],
    ids=["no memory", "no device memory", "bug"],
)
def test_a_device_that_fails_while_serving_ends_the_daemon_with_one_line(
    error: str, status: int, message: str, tmp_path: Path
) -> None:
    """The fault is injected into the real runtime's first clip; everything around it is the daemon."""
    program = (
        "import sys; from edge_tdn.__main__ import main; from edge_tdn.inference.openvino import OpenVinoRuntime\n"
        f"def classify(*_): raise {error}\n"
        "OpenVinoRuntime.classify = classify\n"
        "import edge_tdn.inference.open_runtime; edge_tdn.inference.open_runtime.self_test = lambda *_: None\n"
        "sys.exit(main(['run', '--config', sys.argv[1]]))"
    )
    command = [sys.executable, "-c", program, str(camera_site(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_S)
    assert done.returncode == status, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("edge-tdn: ")]
    assert message in line
    assert done.stderr.splitlines()[-1] == line


def test_a_daemon_whose_file_has_ended_is_exit_0(
    edge_tdn: Run, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    result = edge_tdn("run", "--config", camera_site(tmp_path, source=str(make_video(6))))
    assert result.returncode == 0, result.stderr


def test_the_installed_command_exists() -> None:
    program = shutil.which("edge-tdn", path=str(Path(sys.executable).parent))
    assert program, "pip install -e . was not run in this environment"
    assert subprocess.run([program, "--version"], capture_output=True, check=True).stdout.startswith(b"edge-tdn ")
