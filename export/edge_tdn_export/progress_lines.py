"""The progress of a command as lines of JSON, for a program that shows it: `--progress json`.

    {"at": "2026-11-30T21:30:00.000Z", "kind": "step", "step": 2, "of": 4, "text": "training"}
    {"at": "...", "kind": "progress", "text": "features of clips, motion", "done": 12, "total": 64, "left_s": 40}
    {"at": "...", "kind": "note", "text": "too few clips to compare mixtures of features"}
    {"at": "...", "kind": "done", "model": "door-open"}
    {"at": "...", "kind": "failed", "text": "--data clips: has no videos", "status": 78}

The last line is `done` or `failed`. Libraries write other lines between these, to stderr.
"""

import io
import json
import threading
import time
from typing import TextIO

from edge_tdn.messages import iso

EVERY_S = 0.5  # between two lines of the same phase


class ProgressLines(io.TextIOBase):
    """Writes the progress to a stream, flushed after each line. As a text stream, it makes a note of every line.

    An error of the stream is raised: a command whose reader has ended must end, too. Any thread may use it.
    """

    def __init__(self, stream: TextIO, every_s: float = EVERY_S) -> None:
        self._stream, self._every_s = stream, every_s
        self._phase, self._reported_s = "", 0.0
        self._unfinished = ""  # line of a note
        self._whole_lines = threading.Lock()

    def step(self, number: int, of: int, text: str) -> None:
        """Write that step `number` of `of`, counted from 1, begins."""
        self._phase = ""
        self._put(kind="step", step=number, of=of, text=text)

    def progress(self, text: str, done: float, total: float | None, left_s: float | None) -> None:
        """Write how many items are done; of the same phase only every `every_s`. None: unknown."""
        phase, now_s = text.partition(": ")[0], time.monotonic()
        if phase == self._phase and now_s < self._reported_s + self._every_s:
            return
        self._phase, self._reported_s = phase, now_s
        self._put(kind="progress", text=text, done=done, total=total, left_s=left_s)

    def note(self, text: str) -> None:
        """Write a remark, one line for each of its lines."""
        for line in text.splitlines():
            if line.strip():
                self._put(kind="note", text=line.rstrip())

    def done(self, model: str) -> None:
        """Write that the model of this id is complete."""
        self._put(kind="done", model=model)

    def failed(self, text: str, status: int) -> None:
        """Write why the command ends with this exit status."""
        self._put(kind="failed", text=text, status=status)

    def write(self, text: str) -> int:
        """Write a note of every line that is complete."""
        *lines, self._unfinished = (self._unfinished + text).split("\n")
        for line in lines:
            self.note(line)
        return len(text)

    def writable(self) -> bool:
        """Return True."""
        return True

    def _put(self, **fields: object) -> None:
        line = json.dumps({"at": iso(time.time_ns()), **fields}, ensure_ascii=False)
        with self._whole_lines:
            self._stream.write(f"{line}\n")
            self._stream.flush()
