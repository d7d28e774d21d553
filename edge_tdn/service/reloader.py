"""The thread of a reload, and what is known about the configuration file."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from enum import Enum, auto
from pathlib import Path

from edge_tdn.errors import EdgeTdnError, with_type
from edge_tdn.messages import ConfigState, iso
from edge_tdn.process import heartbeat, systemd_notify
from edge_tdn.process.passwords import without_password
from edge_tdn.service.reload import Plan, apply, prepare
from edge_tdn.service.running import Running
from edge_tdn.status_messages import ConfigStatus

log = logging.getLogger(__name__)


class ReloadState(Enum):
    """Where a reload is."""

    IDLE = auto()
    RUNNING = auto()  # its thread is at work
    FINISHED = auto()  # its thread is done; systemd does not know yet


class Reloader:
    """Has the configuration read again when it is asked to, on a thread of its own: a network may take a minute to
    compile.

    `request` may be called from any thread. The main loop calls `poll`, which takes `_state` from IDLE to RUNNING and
    from FINISHED to IDLE; the reload's thread takes it from RUNNING to FINISHED, and replaces `status` as one value.
    """

    def __init__(self, path: Path | None, running: Running, stop: threading.Event, wake: Callable[[], None]) -> None:
        """`path`: of the configuration; None: it cannot be read again. `wake`: makes the main loop call `poll`."""
        self.status = ConfigStatus(state="in_force", reason="", since=iso(time.time_ns()))
        self.changing = threading.Lock()  # held while a reload changes what runs
        self._path, self._running = path, running
        self._stop, self._wake = stop, wake
        self._requested = False
        self._undo: deque[Callable[[], None]] = deque()  # for the next reload
        self._state = ReloadState.IDLE

    def request(self, if_refused: Callable[[], None] | None = None) -> None:
        """Have the configuration read again, soon; once more if it is being read. From any thread.

        `if_refused`: undoes what the request was for; called on the thread of the reload, before its status says so.
        """
        if if_refused:
            self._undo.append(if_refused)
        self._requested = True
        self._wake()

    @property
    def under_way(self) -> bool:
        """The thread of a reload is at work."""
        return self._state is ReloadState.RUNNING

    def poll(self) -> None:
        """Report a reload that is finished, and start one that was requested. On the main loop.

        systemd is notified from here alone, so that nothing follows the notification of a stop.
        """
        if self._state is ReloadState.FINISHED:
            self._state = ReloadState.IDLE
            systemd_notify.ready()
        if self._path and self._requested and self._state is ReloadState.IDLE:
            self._requested = False
            self._state = ReloadState.RUNNING
            undo = [self._undo.popleft() for _ in range(len(self._undo))]
            systemd_notify.reloading()
            threading.Thread(target=self._run, args=(self._path, undo), name="reload", daemon=True).start()

    @heartbeat.beating()
    def _run(self, path: Path, undo: Sequence[Callable[[], None]]) -> None:
        heartbeat.beat(self._running.timing.compile_s)
        log.info("config=%s is read again", path)
        self._report("checking", "")
        try:
            self._reload(path, undo)
        finally:
            self._state = ReloadState.FINISHED
            self._wake()

    def _reload(self, path: Path, undo: Sequence[Callable[[], None]]) -> None:
        try:
            plan = prepare(path, self._running)
            with self.changing:
                if self._stop.is_set():
                    plan.discard()
                    return
                apply(plan, self._running)
        except CancelledError:  # the daemon has stopped meanwhile
            return
        except EdgeTdnError as error:
            log.error("config=%s refused, the one before stays in force: %s", path, error)
            self._refuse(str(error), undo)
        except Exception as error:  # what cannot be foreseen must not end what serves
            log.exception("config=%s could not be brought into force", path)
            self._refuse(f"{with_type(error)}; the log says where", undo)
        else:
            self._report_in_force(path, plan)

    def _report_in_force(self, path: Path, plan: Plan) -> None:
        level = logging.WARNING if plan.note else logging.INFO
        log.log(level, "config=%s in force: %s%s", path, plan.changes, f"; {plan.note}" if plan.note else "")
        self._report("in_force", plan.note)

    def _refuse(self, reason: str, undo: Sequence[Callable[[], None]]) -> None:
        for step in reversed(undo):
            try:
                step()
            except Exception:
                log.exception("what the reload was for could not be undone")
        self._report("refused", reason)

    def _report(self, state: ConfigState, reason: str) -> None:
        self.status = ConfigStatus(state=state, reason=without_password(reason), since=iso(time.time_ns()))
        self._wake()
