"""How many starts a minute looped videos cause as cameras, and which labelled actions are still reported.

    python -m tests.bench.quiet                                  the real clips of EDGE_TDN_DATA, with the defaults
    python -m tests.bench.quiet yard.mp4 --config site.toml      your own, with model and [decide] of a configuration

A file with `loop = true` gives the same scores in every round, so the network sees one round, and the decider as many
as fit into the time. The goal for the two busiest together is at most 6 starts a minute. The last line is about drawn
scenes, in which a thing makes each motion of the shipped model once: F1 and the mean start delay.
"""

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from edge_tdn_training.evaluation.matching import Interval, MatchCounts
from edge_tdn_training.evaluation.streaming import stream

from edge_tdn.actions.decider import Decider, Origin
from edge_tdn.capture.video_file import read_file
from edge_tdn.config.load import load
from edge_tdn.config.tables import CameraConfig, Config, DecideConfig
from edge_tdn.demo.demo_clip import ACTIONS
from edge_tdn.demo.scene import Motion, Pose, Scene
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.lane import Lane
from edge_tdn.inference.open_model import open_configured_model, open_configured_runtime
from edge_tdn.inference.runtime import Runtime
from edge_tdn.inference.turn import compute
from edge_tdn.manifest import Model
from edge_tdn.media.video_writer import write_video
from edge_tdn.messages import NS_PER_S, ActionEvent, EndReason, Scores
from edge_tdn.segments.motion_gate import MotionGate
from edge_tdn.segments.window import Window

GOAL = 6.0  # starts a minute of two cameras together
REAL = "sam2_0*.mp4", "*-detection.mp4"
SCENES = range(100, 106)  # seeds
HEIGHT, WIDTH, RATE = 180, 240, 15  # pixels, frames per second


@dataclass(frozen=True, eq=False)
class ScoredRound:
    """The clips of a video that is played once."""

    clips: tuple[Scores, ...]
    length_ns: int


class _Clips:
    """A clip sink that keeps the scores."""

    def __init__(self) -> None:
        self.kept: list[Scores] = []

    def scored(self, scores: Scores) -> None:
        self.kept.append(scores)

    def broken(self, reason: EndReason) -> None:
        pass


def play_once(video: Path, model: Model, runtime: Runtime, camera: CameraConfig) -> ScoredRound:
    """Score the clips of a video, as on a host that keeps up."""
    spec, sink = model.manifest.input, _Clips()
    window = Window(spec, camera.max_gap_s, gate=MotionGate() if camera.motion_gate else None)
    lane = Lane(Engine(runtime, spec), camera.hop, sink)
    before_ns = newest_ns = 0
    for frame in read_file(video, camera.decoder, camera.rotate, camera.region):
        for segment in window.push(frame):
            compute([(lane, [segment])])
        before_ns, newest_ns = newest_ns, frame.pts_ns
    return ScoredRound(tuple(sink.kept), 2 * newest_ns - before_ns)


def looped_events(played: ScoredRound, minutes: float, model: Model, decide: DecideConfig) -> list[ActionEvent]:
    """Return the events of a camera that plays the video again and again."""
    decider = Decider(
        decide, Origin("host", "camera", "b007", model.ref("fp32")), model.labels, model.manifest.background
    )
    events: list[ActionEvent] = []
    began_ns, end_ns = 0, round(minutes * 60 * NS_PER_S)
    while began_ns < end_ns:
        for clip in played.clips:
            at_ns = began_ns + clip.to_ns
            if at_ns < end_ns:
                events += decider.push(replace(clip, received_ns=at_ns, wall_ns=at_ns))
        events += decider.break_off("video_ended")
        began_ns += played.length_ns
    return events


def starts(events: Sequence[ActionEvent]) -> Counter[str]:
    """Count the starts by label."""
    return Counter(event.label for event in events if event.type == "start")


def busiest_two(rates: Sequence[float]) -> float:
    """Return the sum of the two highest rates."""
    return sum(sorted(rates)[-2:])


def drawn_scene(path: Path, seed: int) -> tuple[Interval, ...]:
    """Write a video of every motion in random order, 1.5 to 4 s each, between which nothing moves for 1 to 3 s."""
    rng = np.random.default_rng(seed)
    scene, start = Scene(rng, HEIGHT, WIDTH), Pose(0.3, 0.55, 0.3)
    script: list[tuple[str, int]] = []  # label, frames
    for label in rng.permutation(ACTIONS):
        script += [("still", round(rng.uniform(1, 3) * RATE)), (str(label), round(rng.uniform(1.5, 4) * RATE))]
    intervals, pictures, done = [], [], 0
    for label, frames in script:
        motion = Motion(label, rng.uniform(0.1, 0.2), growth=0.4, swing=0.1, frequency=rng.uniform(0.9, 1.6))
        pictures += [scene.draw(motion.at(start, number / RATE)) for number in range(frames)]
        if label != "still":
            intervals.append(Interval(label, done / RATE, (done + frames) / RATE))
        done += frames
    write_video(pictures, RATE, path)
    return tuple(intervals)


def on_drawn_scenes(model: Model, runtime: Runtime, decide: DecideConfig) -> tuple[float, float]:
    """Return F1 and the mean start delay, seconds."""
    counts: list[MatchCounts] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in SCENES:
            video = Path(folder) / f"{seed}.mp4"
            intervals = drawn_scene(video, seed)
            counts.append(stream(model, runtime, video, intervals, decide).matched.counts())
    delays = [delay for one in counts for delay in one.delays_s]
    both = sum(one.events + one.intervals for one in counts)
    return 2 * sum(one.hits for one in counts) / both, sum(delays) / len(delays)


def main() -> None:
    options = _options()
    base = options.config.parent if options.config else Path()
    config = load(options.config) if options.config else Config(camera=(CameraConfig(name="camera", source="demo:"),))
    model = open_configured_model(config, base)
    rates = []
    with closing(open_configured_runtime(config, model)) as runtime:
        for video in options.video or _real_videos():
            played = play_once(video, model, runtime, config.camera[0])
            counts = starts(looped_events(played, options.minutes, model, config.decide))
            rates.append(counts.total() / options.minutes)
            shown = ", ".join(f"{label} {count}" for label, count in counts.most_common())
            print(f"{video.name:28} {rates[-1]:5.1f} starts a minute   {shown}", flush=True)  # noqa: T201
        print(f"{'the two busiest together':28} {busiest_two(rates):5.1f} starts a minute   goal <= {GOAL:g}")  # noqa: T201
        print(f"{'mean':28} {sum(rates) / len(rates):5.1f} starts a minute")  # noqa: T201
        if set(ACTIONS) <= set(model.labels):
            f1, delay_s = on_drawn_scenes(model, runtime, config.decide)
            print(f"{'drawn scenes':28} F1 {f1:.2f}, starts published {delay_s:.2f} s after they began")  # noqa: T201


def _real_videos() -> list[Path]:
    folder = Path(os.environ.get("EDGE_TDN_DATA", "../shared/data")) / "videos"
    videos = [video for pattern in REAL for video in sorted(folder.glob(pattern))]
    if not videos:
        raise SystemExit(f"{folder}: no real clips; set EDGE_TDN_DATA, or name videos")
    return videos


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.quiet", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", nargs="*", type=Path, help="videos, each a camera (default: the real clips)")
    parser.add_argument("--config", type=Path, metavar="TOML", help="a configuration (default: every default)")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long they are looped (default: 5)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
