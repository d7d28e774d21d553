"""The scores of actions over time, from the kept scores. Pure."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_tdn.actions.labels import rules
from edge_tdn.actions.smoothing import ScoreSmoother
from edge_tdn.actions.stream_clock import StreamClock
from edge_tdn.config.tables import DecideConfig
from edge_tdn.hub.kept_scores import REST, KeptClips

YIELD_EVERY = 10  # clips, after which another thread may run


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """The scores of all actions at n moments, oldest first; NaN where the stream broke."""

    at_ns: NDArray[np.int64]  # [n], wall clock
    actions: tuple[str, ...]
    scores: NDArray[np.float32]  # [actions, n], 0 to 1


def action_scores(
    clips: KeptClips, decide: DecideConfig, background: Sequence[str], since_ns: int = 0, every_ns: int = 1
) -> ScoreTable:
    """Return the scores as the decider had them, with the limits `decide`, of the clips after `since_ns`.

    `since_ns`: wall clock. `every_ns`: of the clips within so long, the highest score of each action is taken.
    """
    found = rules(decide, clips.labels, (*background, REST))
    smoother, clock = ScoreSmoother(found, len(clips.labels), decide.smoothing_s), StreamClock()
    at_ns: list[int] = []
    columns: list[NDArray[np.float32]] = []
    bucket = -1  # of the last column; -1: a clip begins a new one
    for row, clip in enumerate(clips.rows()):
        if row % YIELD_EVERY == 0:
            time.sleep(0)
        if isinstance(clip, str):
            smoother.clear()
            clock.break_off()
            if columns and bucket >= 0:
                at_ns.append(at_ns[-1] + 1)
                columns.append(np.full(len(found), np.nan, np.float32))
            bucket = -1
            continue
        clock.advance(clip)
        smoother.push(clip.logits, clock.now_ns)
        if clip.wall_ns <= since_ns:
            continue
        column = np.fromiter(smoother.scores.values(), np.float32, len(found))
        if bucket == clip.wall_ns // every_ns:
            at_ns[-1], columns[-1] = clip.wall_ns, np.maximum(columns[-1], column)
        else:
            bucket = clip.wall_ns // every_ns
            at_ns.append(clip.wall_ns)
            columns.append(column)
    scores = np.stack(columns, axis=1) if columns else np.zeros((len(found), 0), np.float32)
    return ScoreTable(np.array(at_ns, np.int64), tuple(found), np.clip(scores, 0.0, 1.0))
