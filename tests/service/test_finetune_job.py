"""A training as a child process: real processes, of a trainer that a test scripts. The real one: tests/training."""

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_tdn.hub.teaching_access import FinetuneState, TeachingRefused
from edge_tdn.service import finetune_job
from edge_tdn.service.finetune_job import CLAIM, FinetuneJob
from tests.support.waiting import eventually

TRAINER = """
import json, os, signal, sys, time
from pathlib import Path

options = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
out = Path(options["--out"])

def put(**fields):
    print(json.dumps({"at": "", **fields}), flush=True)

def complete():
    out.mkdir()
    (out / "manifest.json").touch()
    put(kind="done", model=options["--id"])

def pid_to(name):
    Path(name).write_text(str(os.getpid()))
"""


class ScriptedTrainer:
    """The page's folder, a job in it, and the states that it has published."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "clips").mkdir(parents=True)
        self.script = folder / "trainer.py"
        self.published: list[FinetuneState] = []
        self.job = FinetuneJob(folder, [sys.executable, str(self.script)], self.published.append)

    def does(self, body: str) -> None:
        self.script.write_text(TRAINER + textwrap.dedent(body))

    def end(self) -> FinetuneState:
        """Wait until the training has ended."""
        return eventually(lambda: self.job.state if self.job.state.state != "running" else None)

    def pid(self, name: str) -> int:
        """Wait for the number of a process, which it writes into a file."""
        return int(eventually(lambda: path.exists() and path.read_text() if (path := self.folder / name) else None))


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[ScriptedTrainer]:
    scripted = ScriptedTrainer(tmp_path / "page")
    yield scripted
    scripted.job.close()


def is_alive(pid: int) -> bool:
    """Return whether a process runs, and is not only a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_training_runs_with_the_clips_of_the_page_and_ends_in_a_model(trainer: ScriptedTrainer) -> None:
    trainer.does(
        """
        put(kind="note", text=json.dumps(sys.argv[1:]))
        put(kind="step", step=1, of=2, text="videos")
        put(kind="progress", text="decoding", done=1, total=4, left_s=None)
        put(kind="step", step=2, of=2, text="last layer")
        assert not sys.stdin.read(), "closed"
        assert "NOTIFY_SOCKET" not in os.environ
        complete()
        """
    )
    os.environ["NOTIFY_SOCKET"] = "/nowhere"
    try:
        begun = trainer.job.start("door-open")
    finally:
        del os.environ["NOTIFY_SOCKET"]
    assert (begun.state, begun.id, begun.since[-1]) == ("running", "door-open", "Z")
    over = trainer.end()
    assert (over.state, over.text, over.step) == ("done", "", 2), over.log
    page = trainer.folder
    assert over.log[0] == (
        f'["finetune", "--data", "{page}/clips", "--out", "{page}/models/door-open", "--id", "door-open", '
        f'"--cache", "{page}/cache", "--progress", "json"]'
    )
    assert trainer.published[0] == begun
    eventually(lambda: trainer.published[-1] == over, describe=lambda: trainer.published[-1])


def test_a_failure_is_shown_with_its_reason_and_another_training_may_begin(trainer: ScriptedTrainer) -> None:
    trainer.does('put(kind="failed", text="clips: has no videos", status=78); sys.exit(78)')
    trainer.job.start("door")
    over = trainer.end()
    assert (over.state, over.text) == ("failed", "clips: has no videos")
    trainer.does("raise ZeroDivisionError")
    trainer.job.start("door")
    assert trainer.end().text == "ZeroDivisionError"
    assert any(line.startswith("Traceback") for line in trainer.job.state.log)


def test_only_one_training_at_a_time(trainer: ScriptedTrainer) -> None:
    trainer.does("time.sleep(1000)")
    trainer.job.start("one")
    with pytest.raises(TeachingRefused, match="a training of 'one' is under way"):
        trainer.job.start("two")
    trainer.job.stop()
    assert trainer.end().state == "stopped"


def test_a_stop_ends_the_workers_too_and_what_ignores_it_is_killed(
    trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune_job, "KILL_S", 0.2)
    trainer.does(
        """
        if os.fork() == 0:
            pid_to("worker")
            time.sleep(1000)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pid_to("main")
        while True:
            time.sleep(1)
        """
    )
    trainer.job.start("door")
    pids = [trainer.pid("main"), trainer.pid("worker")]
    assert trainer.job.stop().text == "stopping"
    assert trainer.end().state == "stopped"
    eventually(lambda: not any(map(is_alive, pids)))


def test_a_worker_that_keeps_the_pipe_open_does_not_keep_the_training_alive(trainer: ScriptedTrainer) -> None:
    trainer.does(
        """
        if os.fork() == 0:
            pid_to("worker")
            while True:
                print("still here", flush=True)
        while not Path("worker").exists():
            time.sleep(0.01)
        complete()
        """
    )
    trainer.job.start("door")
    assert trainer.end().state == "done"
    eventually(lambda: not is_alive(trainer.pid("worker")))


def test_a_trainer_that_closes_its_output_is_awaited(trainer: ScriptedTrainer) -> None:
    trainer.does("os.close(1); os.close(2); time.sleep(0.6); out.mkdir(); (out / 'manifest.json').touch(); os._exit(0)")
    trainer.job.start("door")
    assert trainer.end().state == "done"


def test_a_training_that_memory_killed_names_memory(trainer: ScriptedTrainer) -> None:
    trainer.does("os.kill(os.getpid(), signal.SIGKILL)")
    trainer.job.start("door")
    assert "memory" in trainer.end().text


def test_a_flood_of_lines_is_published_at_most_four_times_a_second(trainer: ScriptedTrainer) -> None:
    trainer.does(
        """
        until = time.monotonic() + 1.0
        n = 0
        while time.monotonic() < until:
            put(kind="progress", text="x", done=(n := n + 1), total=None, left_s=None)
        sys.stdout.write("a" * 1_000_000)
        complete()
        """
    )
    began = time.monotonic()
    trainer.job.start("door")
    assert trainer.end().state == "done"
    took_s = time.monotonic() - began
    assert trainer.job.state.done > 10
    assert len(trainer.published) <= 4 * took_s + 3


@pytest.mark.parametrize(
    "model_id", ["", ".", "..", "../x", "a/b", "-x", ".x", "x.run", "x" * 65, "tür", "a\nb", "a\n"]
)
def test_a_name_that_is_none_of_a_model_is_refused(model_id: str, trainer: ScriptedTrainer) -> None:
    with pytest.raises(TeachingRefused, match="name of a model"):
        trainer.job.start(model_id)
    assert not (trainer.folder / "models").exists()


def test_what_is_missing_is_named(trainer: ScriptedTrainer, tmp_path: Path) -> None:
    (trainer.folder / "models/door").mkdir(parents=True)
    with pytest.raises(TeachingRefused, match="there is a model 'door' already"):
        trainer.job.start("door")
    ignore = lambda state: None  # noqa: E731
    with pytest.raises(TeachingRefused, match="no trainer"):
        FinetuneJob(trainer.folder, None, ignore).start("gate")
    with pytest.raises(TeachingRefused, match="record some first"):
        FinetuneJob(tmp_path / "empty", ["trainer"], ignore).start("gate")
    with pytest.raises(TeachingRefused, match="/nowhere/train: No such file"):
        FinetuneJob(trainer.folder, ["/nowhere/train"], ignore).start("gate")


def test_the_daemons_end_ends_the_training_and_publishes_nothing(trainer: ScriptedTrainer) -> None:
    trainer.does('pid_to("main"); time.sleep(1000)')
    trainer.job.start("door")
    pid = trainer.pid("main")
    published = len(trainer.published)
    os.kill(pid, signal.SIGSTOP)  # it ends when it continues
    trainer.job.close()
    assert is_alive(pid), "it is not waited for"
    os.kill(pid, signal.SIGCONT)
    eventually(lambda: not is_alive(pid))
    assert len(trainer.published) == published
    with pytest.raises(TeachingRefused):
        trainer.job.start("other")


def test_a_trainer_of_a_killed_daemon_keeps_its_claim_until_it_ends(trainer: ScriptedTrainer, tmp_path: Path) -> None:
    """Two at once would write the same cache. What the killed daemon started ends at its next line."""
    trainer.does('pid_to("main")\nwhile True: put(kind="note", text="x"); time.sleep(0.05)')
    code = f"""
import time
from pathlib import Path
from edge_tdn.service.finetune_job import FinetuneJob
job = FinetuneJob(Path({str(trainer.folder)!r}), [{sys.executable!r}, {str(trainer.script)!r}], lambda state: None)
job.start("door")
time.sleep(1000)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as daemon:
        try:
            pid = trainer.pid("main")
            with pytest.raises(TeachingRefused, match="still ending"):
                trainer.job.start("door")
        finally:
            daemon.send_signal(signal.SIGKILL)
    eventually(lambda: not is_alive(pid))
    trainer.does("complete()")
    trainer.job.start("door")
    assert trainer.end().state == "done"


def test_the_claim_is_free_after_a_training(trainer: ScriptedTrainer) -> None:
    trainer.does("complete()")
    trainer.job.start("door")
    trainer.end()
    with (trainer.folder / "models" / CLAIM).open() as claim:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
