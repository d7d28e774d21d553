"""The paper's test protocols: which clips and crops a video is judged by, and how their scores become one.

    1x1     Something-Something: one clip, its segments spread over the whole video; the model's own resize and crop
    10x3    Kinetics: ten clips of 64 frames spread over the video, and of each three crops along the longer side (left,
            centre, right) that are as high as the short side: 256 pixels for a model of 256 and 224

Scores are averaged before softmax. The published code lays the outer crops on whole quarters of what is left over, and
so does this. Where a picture is higher than wide it takes the centre three times; here the crops go along its height.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from edge_tdn_export.network.reference import Networks, split
from edge_tdn_export.network.tdn import normalise
from numpy.typing import NDArray

from edge_tdn.errors import ModelError
from edge_tdn.inference.runtime import Runtime, enough_memory
from edge_tdn.inference.self_test import scores
from edge_tdn.manifest import InputSpec
from edge_tdn_training.data.augment import centre, decoded_short_side
from edge_tdn_training.data.dataset import DataSet
from edge_tdn_training.data.decoded import Frames, Step, decode
from edge_tdn_training.data.labels import check_known
from edge_tdn_training.data.sampling import centre_segments, dense_clips
from edge_tdn_training.evaluation.accuracy import Accuracy

Protocol = Literal["1x1", "10x3"]
CLIPS = 10  # of the second one
PYTORCH = "pytorch"  # the precision of a network that was not exported
JUDGING = "judging a clip"  # where memory may not suffice
Views = NDArray[np.uint8]  # [crops, T, InputSpec.frames, H, W, 3], RGB: one clip of a video
Logits = NDArray[np.float32]
Score = Callable[[Views], Logits]  # -> [crops, classes]


def views(frames: Frames, spec: InputSpec, protocol: Protocol) -> Iterator[Views]:
    """The clips of a video. `frames`: at the model's rate, of `decoded_short_side`."""
    for indices in places(len(frames), spec, protocol):
        wanted, where = np.unique(indices, return_inverse=True)
        pictures = frames.take(wanted)  # [n, h, w, 3]
        cropped = _thrice(pictures, spec.short_side) if protocol == "10x3" else centre(pictures, spec)[None]
        yield cropped[:, where.reshape(indices.shape)]


def places(count: int, spec: InputSpec, protocol: Protocol) -> list[NDArray[np.int64]]:
    """For each clip of a video of `count` frames, which of them it takes: int64 [T, InputSpec.frames].

    Each network of an ensemble takes what it would take alone, arranged as the runtime wants it.
    """
    own = []
    for member in range(len(spec.per_segment)):
        segments = spec.of(member).segments
        taken = dense_clips(count, segments, CLIPS) if protocol == "10x3" else centre_segments(count, segments)[None]
        own.append(taken.reshape(len(taken), spec.segments, -1))
    return list(np.concatenate(own, axis=2))


@dataclass(frozen=True, eq=False)
class Entrant:
    """A model that is to be judged."""

    name: str
    sha256: str
    labels: tuple[str, ...]
    spec: InputSpec
    judges: dict[str, Score]  # by precision, how it scores clips


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What the videos of a data set gave."""

    accuracies: dict[str, Accuracy]  # by precision
    skipped: tuple[str, ...]  # videos that gave nothing, and why


def steps(data: DataSet, entrants: Sequence[Entrant]) -> int:
    """How many steps `evaluate` reports."""
    return len(data.videos) * (1 + len(_decodings(entrants)))


def evaluate(
    data: DataSet,
    where: str,
    entrants: Sequence[Entrant],
    protocol: Protocol,
    cache: Path | None = None,
    step: Step = lambda _: None,
) -> Evaluation:
    """Judges the videos of `data`, whose name for errors is `where`. Entrants are an ensemble: their logits are added.

    ConfigError: labels that the model does not know, or no video that can be judged. ModelError: entrants of other
    labels. DeviceError: not enough memory.
    """
    labels = entrants[0].labels
    for entrant in entrants:
        if entrant.labels != labels:
            raise ModelError(
                f"{entrant.name}: other labels than {entrants[0].name}, or in another order; the logits of an ensemble "
                "are added: all its models need the same labels"
            )
    check_known(where, data.labels, labels)
    decoded = {key: decode(data, *key, cache, step) for key in _decodings(entrants)}
    frames = {key: dict(zip(one.data.videos, one.frames, strict=True)) for key, one in decoded.items()}
    videos = [video for video in data.videos if all(video in one for one in frames.values())]
    logits: dict[str, list[Logits]] = {name: [] for name in entrants[0].judges}
    for video in videos:
        step(video.path.name)
        each = [_scored(frames[_decoding(one)][video], one, protocol) for one in entrants]
        for name, found in logits.items():
            found.append(np.sum([scored[name] for scored in each], axis=0))
    truth = np.array([labels.index(data.labels[video.label]) for video in videos])
    return Evaluation(
        accuracies={name: Accuracy(labels, np.stack(found), truth) for name, found in logits.items()},
        skipped=tuple(dict.fromkeys(reason for one in decoded.values() for reason in one.data.skipped)),
    )


def _decoding(entrant: Entrant) -> tuple[float, int]:
    """Frame rate and short side."""
    return entrant.spec.frame_rate, decoded_short_side(entrant.spec)


def _decodings(entrants: Sequence[Entrant]) -> list[tuple[float, int]]:
    return list(dict.fromkeys(map(_decoding, entrants)))


def _scored(frames: Frames, entrant: Entrant, protocol: Protocol) -> dict[str, Logits]:
    """What it thinks of a video: by precision, the mean logits [classes] of all views."""
    found: dict[str, list[Logits]] = {name: [] for name in entrant.judges}
    for clip in views(frames, entrant.spec, protocol):
        for name, score in entrant.judges.items():
            found[name].append(score(clip))
    return {name: np.concatenate(logits).mean(0) for name, logits in found.items()}


def check_protocol(protocol: Protocol, spec: InputSpec, precision: str, name: str) -> None:
    """ModelError: this model, in this precision, cannot be judged so. Exported graphs take one size of picture."""
    if protocol == "1x1":
        return
    side = spec.short_side
    if spec.resize == "stretch":
        raise ModelError(f"{name}: its pictures are stretched to {spec.width}x{spec.height}: nothing is left to crop "
                         "for protocol 10x3; allowed: 1x1")  # fmt: skip
    if precision != PYTORCH and (spec.height, spec.width) != (side, side):
        raise ModelError(
            f"{name}: {precision}: exported for {spec.width}x{spec.height}, and protocol 10x3 takes crops of "
            f"{side}x{side}; allowed: 10x3 with precision {PYTORCH}, 1x1, or a folder exported with --size {side} "
            f"--short-side {side}"
        )


def with_pytorch(networks: Networks, device: torch.device) -> Score:
    """The full-precision networks; of several, logits are added. They move to `device`."""
    spec = networks.spec
    members = [network.to(device).eval() for network in networks.members]

    def score(clips: Views) -> Logits:
        own = split(clips.reshape(-1, *clips.shape[2:]), spec)  # for each network [crops * T, 5, H, W, 3]
        pixels = [torch.from_numpy(frames.reshape(len(clips), -1, *frames.shape[1:])) for frames in own]
        with enough_memory(str(device), JUDGING), torch.inference_mode():
            each = [
                network(normalise(frames.to(device), spec.mean, spec.std))  # [crops, classes]
                for network, frames in zip(members, pixels, strict=True)
            ]
            total: Logits = torch.stack(each).sum(0).cpu().numpy()
        return total

    return score


def with_runtime(runtime: Runtime) -> Score:
    """Exported graphs, as the daemon runs them: segment after segment into a ring."""

    def score(clips: Views) -> Logits:
        with enough_memory(runtime.device, JUDGING):
            return np.stack([scores(runtime, clip) for clip in clips])

    return score


def _thrice(pictures: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """[n, h, w, 3] whose short side is `side` -> [3, n, side, side, 3]."""
    height, width = pictures.shape[1:3]
    down, right = (height - side) // 4, (width - side) // 4
    corners = [(step * down, step * right) for step in (0, 2, 4)]
    return np.stack([pictures[:, top : top + side, left : left + side] for top, left in corners])
