"""The scores of one zone's last clips, for the plot and for trying thresholds on them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from edge_tdn.manifest import InputSpec
from edge_tdn.messages import FRAMES_PER_SEGMENT, NS_PER_S, EndReason, Scores

MAX_SECONDS = 300.0  # that are kept
MAX_LABELS = 24  # whose logits are kept for a clip; of more, the largest
MAX_BYTES = 900_000  # of all zones together
REST = ""  # the background label that stands for all labels whose logits are not kept

_REASONS: tuple[EndReason, ...] = get_args(EndReason)


def row_bytes(labels: int) -> int:
    """Return the bytes of one clip of a model with so many labels."""
    logits = 4 * labels if labels <= MAX_LABELS else 4 * (MAX_LABELS + 1) + 2 * MAX_LABELS
    return 4 * 8 + 1 + logits


def max_rows(labels: int, spec: InputSpec, hop: int, room_bytes: int) -> int:
    """Return the number of clips that are kept: those of MAX_SECONDS, but no more than there is room for."""
    return max(2, min(math.ceil(MAX_SECONDS / (spec.segment_s * hop)), room_bytes // row_bytes(labels)))


@dataclass(frozen=True, eq=False)
class KeptClips:
    """A copy of what was kept, oldest first. n rows: each a clip, or a break between two clips."""

    labels: tuple[str, ...]  # of the logits; with REST as the last one, if there are too many to keep all
    spec: InputSpec  # of the model
    broke: NDArray[np.int8]  # [n]; 0: a clip; else 1 + the number of the reason of a break
    wall_ns: NDArray[np.int64]  # [n], the clip's end; of a break, that of the clip before it
    to_ns: NDArray[np.int64]  # [n], presentation timestamp of the clip's last tick
    newest_ns: NDArray[np.int64]  # [n], of the first tick of its newest segment
    received_ns: NDArray[np.int64]  # [n], monotonic clock: arrival of its last frame
    logits: NDArray[np.float32]  # [n, labels]; or [n, MAX_LABELS + 1], the last one of REST
    indices: NDArray[np.uint16] | None  # [n, MAX_LABELS], of the labels whose logits are kept; None: all are

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.broke)

    @property
    def seconds(self) -> float:
        """The seconds from the first clip's end to the last one's."""
        return float(self.wall_ns[-1] - self.wall_ns[0]) / NS_PER_S if len(self) else 0.0

    def rows(self) -> Iterator[Scores | EndReason]:
        """Yield each clip's scores as a Decider takes them, and the reason of each break.

        Probabilities of labels whose logits were not kept are 0; those of all others are as they were.
        """
        clip_ns = round((self.spec.ticks - 1) * NS_PER_S / self.spec.frame_rate)
        for row in range(len(self)):
            if self.broke[row]:
                yield _REASONS[self.broke[row] - 1]
                continue
            to_ns, received_ns = int(self.to_ns[row]), int(self.received_ns[row])
            yield Scores(
                logits=self._all_logits(row),
                from_ns=to_ns - clip_ns,
                newest_ns=int(self.newest_ns[row]),
                to_ns=to_ns,
                wall_ns=int(self.wall_ns[row]),
                frames=FRAMES_PER_SEGMENT * self.spec.segments,
                dropped=0,
                received_ns=received_ns,
                ready_ns=received_ns,
                taken_ns=received_ns,
                scored_ns=received_ns,
            )

    def _all_logits(self, row: int) -> NDArray[np.float32]:
        if self.indices is None:
            found: NDArray[np.float32] = self.logits[row]
            return found
        logits = np.full(len(self.labels), -np.inf, np.float32)
        logits[self.indices[row]] = self.logits[row, :-1]
        logits[-1] = self.logits[row, -1]
        return logits


class KeptScores:
    """A ring of the last clips and breaks. Written by the runtime thread; any thread may `read`, without a lock."""

    def __init__(self, labels: Sequence[str], spec: InputSpec, rows: int) -> None:
        self.labels, self.spec = tuple(labels), spec
        self._all = len(labels) <= MAX_LABELS  # logits are kept
        kept = len(labels) if self._all else MAX_LABELS + 1
        self._broke = np.zeros(rows, np.int8)
        self._times = np.zeros((rows, 4), np.int64)  # wall, to, newest, received
        self._logits = np.zeros((rows, kept), np.float32)
        self._indices = None if self._all else np.zeros((rows, MAX_LABELS), np.uint16)
        self._written = 0  # rows, since the start; grows after a row is complete

    @property
    def max_rows(self) -> int:
        """The number of rows that it keeps."""
        return len(self._broke)

    @property
    def written(self) -> int:
        """The number of rows that were written so far."""
        return self._written

    def scored(self, scores: Scores) -> None:
        """Keep a clip. On the runtime thread."""
        row = self._written % self.max_rows
        self._broke[row] = 0
        self._times[row] = scores.wall_ns, scores.to_ns, scores.newest_ns, scores.received_ns
        if self._indices is None:
            self._logits[row] = scores.logits
        else:
            order = np.argpartition(scores.logits, -MAX_LABELS)
            best = order[-MAX_LABELS:]
            rest = scores.logits[order[:-MAX_LABELS]]
            largest = rest.max()
            self._indices[row] = best
            self._logits[row, :-1] = scores.logits[best]
            self._logits[row, -1] = largest + np.log(np.exp(rest - largest).sum())
        self._written += 1

    def broken(self, reason: EndReason) -> None:
        """Keep a break in the stream; of several between two clips, the first. On the runtime thread."""
        if not self._written or self._broke[(self._written - 1) % self.max_rows]:
            return
        row = self._written % self.max_rows
        self._broke[row] = 1 + _REASONS.index(reason)
        self._times[row] = self._times[(self._written - 1) % self.max_rows]
        self._written += 1

    def read(self) -> KeptClips:
        """Return a copy of everything that is kept."""
        before = self._written
        numbers = np.arange(max(0, before - self.max_rows), before)
        rows = numbers % self.max_rows
        broke, times, logits = self._broke[rows], self._times[rows], self._logits[rows]
        indices = None if self._indices is None else self._indices[rows]
        whole = numbers > self._written - self.max_rows  # the others may have been overwritten meanwhile
        broke, times, logits = broke[whole], times[whole], logits[whole]
        return KeptClips(
            labels=self.labels if self._all else (*self.labels, REST),
            spec=self.spec,
            broke=broke,
            wall_ns=times[:, 0],
            to_ns=times[:, 1],
            newest_ns=times[:, 2],
            received_ns=times[:, 3],
            logits=logits,
            indices=None if indices is None else indices[whole],
        )
