"""The frame of the three programs: closed, full and unread standard streams, and signals during the first imports."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import pytest

from edge_tdn.demo.demo_clip import demo_clip
from tests.support.broker import Mosquitto
from tests.support.mqtt import HostRecorder
from tests.support.ports import free_port
from tests.support.site import write_site
from tests.support.waiting import PATIENCE_S, PROGRAM_S, eventually

PROGRAMS = ("edge_tdn", "edge_tdn_export", "edge_tdn_training")
REFUSED = {  # a command that ends with status 78, before it loads what computes
    "edge_tdn": ("check", "--config", "no.toml"),
    "edge_tdn_export": ("inspect", "no-model"),
    "edge_tdn_training": ("show-motion", "sheet.png", "--model", "no-model"),
}
SMALLEST_PIPE_BYTES = 4096
CAMERA = 'name = "a"\nsource = "demo:"\nloop = true\nmotion_gate = false'
# Runs a program whose command line takes until there is a file to be imported.
SLOW_IMPORT = """
import importlib.abc, os, pathlib, sys, time
class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.endswith(".command_line"):
            pathlib.Path("importing").touch()
            while not os.path.exists("go"):
                time.sleep(0.01)
sys.meta_path.insert(0, Slow())
from {module}.__main__ import main
sys.exit(main())
"""


def run_with(redirection: str, module: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program with standard streams that a shell has redirected."""
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PROGRAM_S)


@pytest.mark.parametrize("redirection", ["2>&-", "<&- >&- 2>&-", "2>/dev/full"])
@pytest.mark.parametrize("module", PROGRAMS)
def test_closed_or_full_streams_change_no_exit_status(module: str, redirection: str, tmp_path: Path) -> None:
    done = run_with(redirection, module, *REFUSED[module], folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (78, "", "")


@pytest.mark.parametrize("module", PROGRAMS)
def test_output_that_cannot_be_written_is_an_error_and_one_that_nothing_reads_is_none(
    module: str, tmp_path: Path
) -> None:
    full = run_with(">/dev/full", module, "--help", folder=tmp_path)
    assert full.returncode == 1
    name = module.replace("edge_tdn", "edge-tdn").replace("_training", "-train").replace("_", "-")
    assert full.stderr == f"{name}: standard output: No space left on device\n"
    command = [sys.executable, "-m", module, "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as closed:
        assert closed.stdout
        assert closed.stderr
        closed.stdout.close()
        assert (closed.stderr.read(), closed.wait(PROGRAM_S)) == (b"", 0)


@pytest.mark.parametrize("module", PROGRAMS)
def test_pipe_on_standard_error_without_a_reader_changes_no_exit_status(module: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", module, *REFUSED[module]]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stderr.close()
        assert (process.stdout.read(), process.wait(PROGRAM_S)) == (b"", 78)


PROGRESS = """
import sys, time
from pathlib import Path
from edge_tdn.process.program import run_program
from edge_tdn_export.progress import ProgressDisplay, stepped
def body():
    while not Path("go").exists():
        time.sleep(0.01)
    with stepped(2) as step:
        step("one")
        time.sleep(0.3)  # the bar is drawn ten times a second
        step("two")
    with ProgressDisplay() as display:
        for n in display.track(range(3), 3, "three"):
            display.print("a line")
    Path("done").touch()
    return 0
sys.exit(run_program("program", body))
"""


@pytest.mark.parametrize("end", ["pipe", "terminal"])
def test_work_with_a_progress_bar_is_completed_after_what_shows_it_has_gone(end: str, tmp_path: Path) -> None:
    """As with `2>&1 | head`, or a terminal that is closed while a training continues in the background."""
    reading, writing = pty.openpty() if end == "terminal" else os.pipe()
    command = [sys.executable, "-c", PROGRESS]
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(command, cwd=tmp_path, stderr=writing, env=environment, start_new_session=True) as process:
        os.close(writing)
        os.close(reading)
        (tmp_path / "go").touch()
        assert process.wait(PROGRAM_S) == 0
    assert (tmp_path / "done").exists()


def test_simulated_camera_ends_when_nothing_reads_its_events(tmp_path: Path) -> None:
    """The event comes on a thread of GStreamer's, where an error would only be printed."""
    demo_clip()  # which the program would draw, and say so
    command = [sys.executable, "-m", "edge_tdn", "simulate", "demo:", "--port", str(free_port())]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout
    assert process.stderr
    try:
        address = process.stdout.readline().split()[0]
        assert any(line.startswith("Ctrl-C ends") for line in process.stdout)
        process.stdout.close()
        capture = cv2.VideoCapture(address)
        assert process.wait(PROGRAM_S) == 0
        capture.release()
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("redirection", ["2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_daemon_serves_without_a_standard_error(broker: Mosquitto, tmp_path: Path, redirection: str) -> None:
    """No socket and no database takes the numbers of the standard streams, where a library may print."""
    config = write_site(tmp_path, broker.url, CAMERA)
    recorder = HostRecorder(broker.port, "edge-tdn/test")
    shell = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "edge_tdn"]
    process = subprocess.Popen([*shell, "run", "--config", str(config)])
    try:
        recorder.wait_for(lambda: len(recorder.of("a", "scores")) > 3)
        descriptors = Path(f"/proc/{process.pid}/fd")
        closed = [number for number, sign in enumerate(("<&-", ">&-", "2>&-")) if sign in redirection.split()]
        assert all((descriptors / str(number)).readlink() == Path(os.devnull) for number in closed)
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
        recorder.close()


def test_daemon_serves_while_nothing_reads_its_log_and_the_log_counts_what_is_left_out(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """The pipe is full after a line. Later it is read again, as by a terminal that was stopped."""
    config = write_site(tmp_path, broker.url, CAMERA)
    recorder = HostRecorder(broker.port, "edge-tdn/test")
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, SMALLEST_PIPE_BYTES)
    command = [sys.executable, "-m", "edge_tdn", "--verbose", "run", "--config", str(config)]
    process = subprocess.Popen(command, stderr=writing)
    os.close(writing)
    try:
        scored = recorder.wait_for(lambda: recorder.of("a", "scores"))
        recorder.wait_for(lambda: len(recorder.of("a", "scores")) > len(scored) + 5)
        assert process.poll() is None
        with os.fdopen(reading, encoding="utf-8") as log:
            line = next(line for line in log if "left out" in line)
            process.terminate()
            assert line.startswith("[")
            assert int(line[1:].split()[0]) > 0
            assert "stopping signal=SIGTERM" in log.read()
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
        recorder.close()


@contextmanager
def importing(module: str, *arguments: str, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Start a program; the block begins in the midst of its imports, which last until there is a file `go`."""
    command = [sys.executable, "-c", SLOW_IMPORT.format(module=module), *arguments]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        eventually((folder / "importing").exists)
        yield process
    finally:
        process.kill()
        process.wait()


def test_hangup_during_the_imports_of_the_daemon_reloads_later(broker: Mosquitto, tmp_path: Path) -> None:
    """And the signals that other programs send when they rotate logs end nothing."""
    config = write_site(tmp_path, broker.url, CAMERA)
    with importing("edge_tdn", "run", "--config", str(config), folder=tmp_path) as process:
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            process.send_signal(number)
        (tmp_path / "go").touch()
        assert process.stderr
        log = ""
        while "in force: no change" not in log:
            line = process.stderr.readline()
            assert line, log
            log += line
        for name in ("SIGUSR1", "SIGUSR2"):
            assert f"signal={name} ignored: SIGHUP reloads, SIGTERM stops" in log
        process.send_signal(signal.SIGUSR1)
        process.terminate()
        log += process.stderr.read()
        assert process.wait(PATIENCE_S) == 0, log
        assert "Traceback" not in log


def test_stop_during_the_imports_of_the_daemon_is_clean(tmp_path: Path, broker: Mosquitto) -> None:
    config = write_site(tmp_path, broker.url, CAMERA)
    with importing("edge_tdn", "run", "--config", str(config), folder=tmp_path) as process:
        process.terminate()
        (tmp_path / "go").touch()
        assert process.stderr
        log = process.stderr.read()
        assert process.wait(PATIENCE_S) == 0, log
        assert "stopping signal=SIGTERM" in log
        assert "Traceback" not in log


@pytest.mark.parametrize("module", PROGRAMS)
def test_interrupt_during_the_imports_ends_without_a_traceback(module: str, tmp_path: Path) -> None:
    with importing(module, *REFUSED[module], folder=tmp_path) as process:
        process.send_signal(signal.SIGINT)
        (tmp_path / "go").touch()
        assert process.stderr
        log = process.stderr.read()
        assert process.wait(PROGRAM_S) == 130, log
        assert "Traceback" not in log


@pytest.mark.parametrize("module", PROGRAMS)
def test_hangup_during_the_imports_ends_any_other_command(module: str, tmp_path: Path) -> None:
    """A terminal that is closed ends what runs in it, as ever."""
    with importing(module, *REFUSED[module], folder=tmp_path) as process:
        process.send_signal(signal.SIGHUP)
        (tmp_path / "go").touch()
        assert process.wait(PROGRAM_S) == -signal.SIGHUP
