"""Scores with chosen probabilities, and a decider for them: the labels still (background), left and right."""

from datetime import datetime

import numpy as np

from edge_tdn.actions.decider import Decider, Origin
from edge_tdn.actions.event_numbers import EventNumbers
from edge_tdn.config.tables import DecideConfig
from edge_tdn.messages import NS_PER_MS, NS_PER_S, ActionEvent, ModelRef, Scores

LABELS = ("still", "left", "right")
HOP_MS = 250
SEGMENT_MS = 300
WALL_NS = 1_790_000_000 * NS_PER_S
ORIGIN = Origin("host", "door", "b007", ModelRef(id="m", precision="fp32", sha256="0" * 64))


def scores(
    n: int, probabilities: tuple[float, ...], wall_jump_ns: int = 0, stream_began: int = 0, segment_ms: int = SEGMENT_MS
) -> Scores:
    """Return the scores of clip number n, n hops after the first stream's start, with these probabilities.

    `stream_began`: number of the clip at which the stream's timestamps were 0.
    """
    now_ns = n * HOP_MS * NS_PER_MS
    to_ns = now_ns - stream_began * HOP_MS * NS_PER_MS
    return Scores(
        logits=np.log(np.array(probabilities, np.float32) + 1e-6),
        from_ns=to_ns - 2000 * NS_PER_MS,
        newest_ns=to_ns - segment_ms * NS_PER_MS,
        to_ns=to_ns,
        wall_ns=WALL_NS + now_ns + wall_jump_ns,
        frames=40,
        dropped=1,
        received_ns=now_ns,
        ready_ns=now_ns,
        taken_ns=now_ns,
        scored_ns=now_ns,
    )


STILL, LEFT, RIGHT = (0.9, 0.05, 0.05), (0.05, 0.9, 0.05), (0.05, 0.05, 0.9)


PROMPT: dict[str, object] = {  # an action starts and ends with the clip that shows it, again and again
    "smoothing_s": 0.0,
    "min_length_s": 0.0,
    "merge_gap_s": 0.0,
    "cool_down_s": 0.0,
}


def prompt_config(**settings: object) -> DecideConfig:
    """Return PROMPT with thresholds of 0.6 and 0.4 and without timed updates, but for `settings`."""
    limits = {"enter_threshold": 0.6, "exit_threshold": 0.4, "update_interval_s": 0.0}
    return DecideConfig.model_validate({**PROMPT, **limits, **settings})


def decider(seq: int = 0, **settings: object) -> Decider:
    """Return a decider with a `prompt_config`."""
    return Decider(prompt_config(**settings), ORIGIN, LABELS, ("still",), EventNumbers(seq))


def run(d: Decider, sequence: list[tuple[float, ...]], start: int = 0) -> list[ActionEvent]:
    """Return the events of clips with these probabilities, the first of which has the number `start`."""
    return [event for n, p in enumerate(sequence, start) for event in d.push(scores(n, p))]


def at(moment: str | None) -> float:
    """Return a time as seconds after WALL_NS."""
    assert moment
    return datetime.fromisoformat(moment).timestamp() - WALL_NS / NS_PER_S
