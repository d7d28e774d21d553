"""A reader who types the commands of a page, one after the other, in a folder of their own."""

import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.conftest import ROOT
from tests.support.documents import README, Block, invocation
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S, PROGRAM_S, eventually

PRINTED = {  # a command that does not end by itself: what it prints once it works
    "run": "state=streaming",
    "simulate": "rtsp://",
    "watch": " start ",
    "demo": "  start  ",
}
SERVES = ("run", "simulate")  # stay until the end of the page, as in a terminal of their own
BROKER = "mqtt://localhost:1883"  # in the pages; the reader of a test has another one
CAMERA_PORT = 8554  # likewise: of `edge-tdn simulate`


class Reader:
    """Types commands in `folder`, made to look like a checkout with the site.toml of the README.

    `broker`: the URL of the reader's broker.
    """

    def __init__(self, folder: Path, broker: str) -> None:
        self._folder, self._broker, self._camera_port = folder, broker, free_port()
        self._serving: list[tuple[str, subprocess.Popen[str]]] = []
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "STATE_DIRECTORY": str(folder / "state"),
            "NO_COLOR": "1",
        }
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "configs").symlink_to(ROOT / "configs")
        for block in README.blocks:
            self.save(block)

    def save(self, block: Block) -> None:
        """Save a block that begins with `# NAME` as the file NAME."""
        first = block.text.partition("\n")[0]
        if block.language == "toml" and first.startswith("# ") and first.endswith(".toml"):
            (self._folder / first[2:]).write_text(self._own(block.text))

    def type(self, command: str) -> None:
        """Run a command to its end, or until it has printed what shows that it works. AssertionError if it fails."""
        called = invocation(command)
        name = called[1] if called[:1] == ["edge-tdn"] else ""
        if name in PRINTED:
            self._until_printed(name, command)
            return
        done = self._run(command)
        if name == "status":  # the daemon connects while this is typed
            eventually(lambda: self._run(command).returncode == 0, describe=lambda: self._run(command).stdout)
            return
        assert done.returncode == 0, f"{command}: exit status {done.returncode}\n{done.stdout}{done.stderr}"

    def close(self) -> None:
        """End what still runs, the newest first. AssertionError if it fails."""
        try:
            for command, process in reversed(self._serving):
                _interrupt(command, process)
        finally:
            for _, process in self._serving:
                process.kill()
                process.wait()

    def _run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-ec", self._own(command)],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PROGRAM_S,
        )

    def _options(self, name: str, command: str) -> list[str]:
        """Return what is added to a command: a port of its own, and as much time as a busy machine needs."""
        if name == "simulate":
            return ["--port", str(self._camera_port)]
        page = ["--port", str(free_port())] if "--web" in command else []
        return ["--seconds", "0", *page] if name == "demo" else []

    def _own(self, text: str) -> str:
        """Return a text of a page with the ports of this reader."""
        return text.replace(BROKER, self._broker).replace(f":{CAMERA_PORT}/", f":{self._camera_port}/")

    def _until_printed(self, name: str, command: str) -> None:
        log = self._folder / f"{name}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [*shlex.split(self._own(command)), *self._options(name, command)],
                cwd=self._folder,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        try:
            eventually(
                lambda: PRINTED[name] in log.read_text() or process.poll() is not None, PATIENCE_S, log.read_text
            )
            assert PRINTED[name] in log.read_text(), f"{command}: {log.read_text()}"
        except BaseException:
            process.kill()
            process.wait()
            raise
        if name in SERVES:
            self._serving.append((command, process))
        else:
            _interrupt(command, process)


def _interrupt(command: str, process: "subprocess.Popen[str]") -> None:
    """End a program with Ctrl-C. AssertionError unless it ends with 0."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 0, command
