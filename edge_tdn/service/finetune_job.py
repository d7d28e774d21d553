"""A fine-tuning that the page starts: one at a time, as a child process that the daemon never waits for."""

import fcntl
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edge_tdn.errors import with_type
from edge_tdn.hub.teaching_access import FinetuneState, TeachingRefused
from edge_tdn.messages import iso
from edge_tdn.service.finetune_progress import ended, follow
from edge_tdn.service.models_folder import CACHE, CLIPS, MODELS, check_new_model, has_model
from edge_tdn.service.trainer_process import TrainerProcess

log = logging.getLogger(__name__)

CLAIM = ".training"  # in the folder of models; locked by the trainer while it runs
PUBLISH_S = 0.25  # between two states, except where a step begins
KILL_S = 10.0  # after the signal to stop


class FinetuneJob:
    """Trains models of the clips in the page's folder, and reports how far it is. Any thread may use it.

    IDLE, DONE, FAILED, STOPPED -> RUNNING by `start`; RUNNING -> one of DONE, FAILED, STOPPED on the thread `finetune`,
    which reads the child's lines. The lock guards all attributes. If the daemon is killed, the child's next line meets
    a closed pipe and ends it; its claim on the folder of models lasts until then.
    """

    def __init__(self, folder: Path, trainer: Sequence[str] | None, publish: Callable[[FinetuneState], None]) -> None:
        """`folder`: of the page. `trainer`: words that start it; None: this host has none."""
        self._folder = folder.absolute()
        self._trainer, self._publish = trainer, publish
        self._lock = threading.Lock()
        self._state = FinetuneState()
        self._child: TrainerProcess | None = None
        self._kill_s: float | None = None  # monotonic time after which the child is killed; None: it is not to stop
        self._closed = False

    @property
    def state(self) -> FinetuneState:
        """The training under way, or the last one."""
        return self._state

    def start(self, model_id: str) -> FinetuneState:
        """Begin to train a model of this id. TeachingRefused: not now, or not by this id."""
        with self._lock:
            if self._child or self._closed:
                raise TeachingRefused(f"a training of {self._state.id!r} is under way; stop it, or wait for its end")
            if not self._trainer:
                raise TeachingRefused("this host has no trainer; use the command, on a computer that has one")
            if not (self._folder / CLIPS).is_dir():
                raise TeachingRefused("there are no clips yet; record some first")
            check_new_model(self._folder, model_id)
            with self._claimed() as claim:
                child = self._begin(self._trainer, model_id, claim)
            self._child, self._kill_s = child, None
            self._show(FinetuneState(state="running", id=model_id, since=iso(time.time_ns()), text="starting"))
            threading.Thread(target=self._watch, args=(child,), name="finetune", daemon=True).start()
            return self._state

    def stop(self) -> FinetuneState:
        """Ask the training to stop, if there is one; it ends soon. It can be continued under the same id."""
        with self._lock:
            if self._child and self._kill_s is None:
                self._kill_s = time.monotonic() + KILL_S
                self._child.signal(signal.SIGTERM)
                self._show(self._state.model_copy(update={"text": "stopping", "left_s": None}))
            return self._state

    def close(self) -> None:
        """Ask the training to stop, without waiting for it; none begins from now on, and nothing is published."""
        with self._lock:
            self._closed = True
            if self._child:
                self._child.signal(signal.SIGTERM)

    def _begin(self, trainer: Sequence[str], model_id: str, claim: int) -> TrainerProcess:
        words = [*trainer, "finetune", "--data", str(self._folder / CLIPS)]
        words += ["--out", str(self._folder / MODELS / model_id), "--id", model_id]
        words += ["--cache", str(self._folder / CACHE), "--progress", "json"]
        try:
            return TrainerProcess(words, self._folder, claim)
        except OSError as error:
            raise TeachingRefused(f"the trainer cannot be started: {trainer[0]}: {error.strerror}") from error

    @contextmanager
    def _claimed(self) -> Iterator[int]:
        """Yield the file descriptor of a lock on the folder of models. TeachingRefused: a trainer has it."""
        models = self._folder / MODELS
        try:
            models.mkdir(parents=True, exist_ok=True)
            claim = os.open(models / CLAIM, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise TeachingRefused(f"{models}: {error.strerror}") from error
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield claim
        except BlockingIOError as error:
            raise TeachingRefused("a training from before the daemon's restart is still ending; try again") from error
        finally:
            os.close(claim)  # the child, which has the lock, has another descriptor

    def _watch(self, child: TrainerProcess) -> None:
        try:
            self._follow(child)
        except Exception as error:
            log.exception("the training could not be followed")
            child.signal(signal.SIGTERM)
            status, reason = child.reap(), with_type(error)
            log.info("training of %s ended with %d", self._state.id, status)
            with self._lock:
                self._child = None
                self._show(self._state.model_copy(update={"state": "failed", "text": reason, "left_s": None}))

    def _follow(self, child: TrainerProcess) -> None:
        """Follow the child to its end."""
        log.info("training of %s begins", self._state.id)
        shown, shown_s = self._state, time.monotonic()
        for lines in child.lines():
            now_s = time.monotonic()
            with self._lock:
                if self._kill_s is not None and now_s > self._kill_s:
                    child.signal(signal.SIGKILL)
                for line in lines:
                    self._state = follow(self._state, line)
                begins = self._state.step != shown.step
                if begins or (self._state is not shown and now_s >= shown_s + PUBLISH_S):
                    shown, shown_s = self._state, now_s
                    self._show(shown)
        status = child.reap()
        with self._lock:
            self._child = None
            complete = has_model(self._folder, self._state.id)
            over = ended(self._state, status, self._kill_s is not None, complete)
            self._show(over)
        log.log(
            logging.WARNING if over.state == "failed" else logging.INFO,
            "training of %s: %s%s",
            over.id,
            over.state,
            f": {over.text}" if over.state == "failed" else "",
        )

    def _show(self, state: FinetuneState) -> None:
        """Make this the state, and publish it. The lock is held."""
        self._state = state
        if not self._closed:
            self._publish(state)
