"""A decoded data set: videos with labels, and the frames of each."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass

from edge_tdn.errors import ConfigError
from edge_tdn.manifest import InputSpec
from edge_tdn_training.data.dataset import DataSet
from edge_tdn_training.data.frames import Frames
from edge_tdn_training.data.loader import EvalClips, TrainClips
from edge_tdn_training.training_config import TrainingConfig

MAX_SKIPPED_LISTED = 10  # skipped videos that an error lists
MAX_SKIPPED_PRINTED = 50  # skipped videos that a command prints


@dataclass(frozen=True)
class DecodedDataSet:
    """A data set whose videos can all be read, and their frames in the same order."""

    data: DataSet
    frames: tuple[Frames, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return self.data.labels

    def __len__(self) -> int:
        return len(self.frames)

    def train_clips(self, config: TrainingConfig, spec: InputSpec) -> TrainClips:
        """Return the clips to train on. ConfigError: fewer than two classes, or a class without a video."""
        check_classes(self.data)
        window = round(config.window_s * spec.frame_rate)
        return TrainClips(self.data, self.frames, spec, config.seed, config.flip, window, config.spliced)

    def eval_clips(self, spec: InputSpec) -> EvalClips:
        """Return the clips to evaluate on, one of each video."""
        return EvalClips(self.data, self.frames, spec)

    def select(self, data: DataSet) -> "DecodedDataSet":
        """Return the videos of `data`, which is a part of this data set, with their frames."""
        found = dict(zip(self.data.videos, self.frames, strict=True))
        return DecodedDataSet(data, tuple(found[video] for video in data.videos))

    def summary(self) -> dict[str, object]:
        """Return what identifies the data set in run.json. The same videos give the same hash, wherever they are."""
        videos = [
            (video.path.name, video.label, video.from_s, video.to_s, frames.shape)
            for video, frames in zip(self.data.videos, self.frames, strict=True)
        ]
        return {
            "videos": len(videos),
            "labels": list(self.data.labels),
            "swaps": list(self.data.swaps),
            "skipped": list(self.data.skipped),
            "sha256": digest(videos),
        }


def check_classes(data: DataSet) -> None:
    """ConfigError: fewer than two classes, or a class without a video."""
    if len(data.labels) < 2:
        raise ConfigError(f"only one class, {data.labels[0]!r}: add a second class, such as one of everything else")
    found = {video.label for video in data.videos}
    missing = [label for i, label in enumerate(data.labels) if i not in found]
    if missing:
        skipped = ["skipped:", *data.skipped[:MAX_SKIPPED_LISTED]] if data.skipped else []
        raise ConfigError("\n".join([f"class {missing[0]!r}: no video to train on", *skipped]))


def printed(skipped: Collection[str]) -> list[str]:
    """Return the reasons that a command prints: of published lists, thousands of videos may be missing."""
    more = len(skipped) - MAX_SKIPPED_PRINTED
    return [*list(skipped)[:MAX_SKIPPED_PRINTED], *([f"and {more} more; the JSON file has all"] if more > 0 else ())]


def digest(*parts: object) -> str:
    """Return 24 hexadecimal digits that identify values which JSON can hold."""
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogateescape")).hexdigest()[:24]
