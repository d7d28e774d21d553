"""A daemon with the page, watched for hours while clients of all kinds come and go."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import psutil

from tests.chaos.row import ChaosRow
from tests.support.broker import Mosquitto
from tests.support.page_daemon import PageDaemon

CAMERAS = {"door": "demo:"}
TABLE = 'name = "{name}"\nsource = "{source}"\nloop = true\nhop = 4'
RECORD = "[record]\nfolder = 'recordings'\nsnapshot = true\nclip = {clip}\nmax_mb = 20\n"  # the oldest leave soon
VIEWERS, RESTLESS = 3, 6  # with pictures and stream; that come and go
EVERY_S = 2.0  # from one look at the process to the next
LEFT_S = 45.0  # after the clients have left: what they might ask for again is kept for 30 s, connections for 15 s
ANSWER_GOAL_S = 5.0  # of the slowest answer
GROWTH_GOAL_MB = 8.0
LEFT_GOAL = 3  # threads and file descriptors more than before the clients came
SHED = "clips shed"
SLOWEST = "answer to a request for the state, slowest"
TIMED = (SHED, SLOWEST)  # depend on what else the machine does
Step = Callable[[str], None]


@dataclass(frozen=True)
class Sample:
    """The process at one moment."""

    uss_mb: float  # memory of the process alone
    threads: int
    files: int  # open file descriptors
    answer_s: float  # from a request for the state to its answer

    @classmethod
    def of(cls, process: psutil.Process, daemon: PageDaemon, cookie: str) -> "Sample":
        """Measure. AssertionError: the page does not answer with 200."""
        began = time.monotonic()
        daemon.get("/api/state", cookie)
        answer_s = time.monotonic() - began
        return cls(process.memory_full_info().uss / 1e6, process.num_threads(), process.num_fds(), answer_s)


def soak(folder: Path, seconds: float, step: Step, clips: bool = True) -> Sequence[ChaosRow]:
    """Run for so long; return the figures. `clips`: are recorded, too, which takes more than all else.

    AssertionError: the daemon ends, logs a traceback, or does not answer.
    """
    folder.mkdir(exist_ok=True)
    tables = [TABLE.format(name=name, source=source) for name, source in CAMERAS.items()]
    with ExitStack() as stack:
        broker = Mosquitto(folder)
        stack.callback(broker.stop)
        daemon = stack.enter_context(
            PageDaemon(folder / "site", broker.url, *tables, record=RECORD.format(clip=str(clips).lower()))
        )
        cookie, process = daemon.log_in(), psutil.Process(daemon.process.pid)
        step("the page without clients")
        before = list(_samples(process, daemon, cookie, min(30.0, seconds / 10), step))
        with _clients(daemon.port, cookie):
            during = list(_samples(process, daemon, cookie, seconds, step))
        step("the clients have left")
        time.sleep(LEFT_S)
        after = list(_samples(process, daemon, cookie, min(30.0, seconds / 10), step))
        state = daemon.get("/api/state", cookie)
        assert isinstance(state, dict)
        log = daemon.log()
    return list(_rows(before, during, after, state, log))


def _samples(process: psutil.Process, daemon: PageDaemon, cookie: str, seconds: float, step: Step) -> Iterator[Sample]:
    began = time.monotonic()
    while (spent := time.monotonic() - began) < seconds:
        sample = Sample.of(process, daemon, cookie)
        yield sample
        left = f"{(seconds - spent) / 60:.0f} min left"
        step(f"{sample.uss_mb:.0f} MB, {sample.threads} threads, {sample.files} files, {left}")
        time.sleep(EVERY_S)


@contextmanager
def _clients(port: int, cookie: str) -> Iterator[None]:
    """Run clients in processes of their own, which are to last as long as the block."""
    commands = [("tests.bench.viewers", VIEWERS), ("tests.soak.restless", RESTLESS)]
    running = [
        subprocess.Popen([sys.executable, "-m", module, str(port), cookie, str(count), *CAMERAS])
        for module, count in commands
    ]
    try:
        yield
        assert [one.poll() for one in running] == [None, None], "clients ended early"
    finally:
        for one in running:
            one.terminate()
            one.wait()


def _rows(
    before: Sequence[Sample], during: Sequence[Sample], after: Sequence[Sample], state: dict[str, object], log: str
) -> Iterator[ChaosRow]:
    quarter = len(during) // 4
    early, late = ([sample.uss_mb for sample in part] for part in (during[quarter : 2 * quarter], during[-quarter:]))
    growth = median(late) - median(early)
    yield ChaosRow(
        what="memory in the last quarter of the time against the second",
        goal=f"at most {GROWTH_GOAL_MB:g} MB more",
        figure=f"{growth:+.1f} MB",
        ok=growth <= GROWTH_GOAL_MB,
        note=f"{median(early):.0f} MB, then {median(late):.0f} MB; memory of the process alone",
        samples={"MB": [sample.uss_mb for sample in during]},
    )
    for what in ("threads", "files"):
        counts = [[getattr(sample, what) for sample in part] for part in (before, during, after)]
        more = median(counts[2]) - median(counts[0])
        yield ChaosRow(
            what=f"{what} open when the clients have left",
            goal=f"at most {LEFT_GOAL} more than before they came",
            figure=f"{more:+.0f}",
            ok=more <= LEFT_GOAL,
            note=f"at most {max(counts[1])} while they were there",
        )
    answers = sorted(sample.answer_s for sample in during)
    yield ChaosRow(
        what=SLOWEST,
        goal=f"at most {ANSWER_GOAL_S:g} s",
        figure=f"{1000 * answers[-1]:.0f} ms",
        ok=answers[-1] <= ANSWER_GOAL_S,
        note=f"all of {len(answers)} answered; p50 {1000 * median(answers):.0f} ms, "
        f"p99 {1000 * quantiles(answers, n=100)[98]:.0f} ms",
    )
    cameras = [camera["status"] for camera in state["cameras"]]  # type: ignore[attr-defined]
    shed = sum(camera["shed"] for camera in cameras)
    clips = sum(camera["clips"] for camera in cameras)
    yield ChaosRow(what=SHED, goal="0", figure=str(shed), ok=not shed, note=f"of {clips} clips")
    errors = log.count(" ERROR ")
    yield ChaosRow(what="errors in the log", goal="0", figure=str(errors), ok=not errors, note="and no traceback")
