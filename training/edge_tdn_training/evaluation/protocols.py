"""The published test protocols: which clips and crops of a video are evaluated, and how their scores are combined.

    1x1     Something-Something: one clip, its segments spread over the whole video; the model's own resize and crop
    10x3    Kinetics: ten clips of 64 frames spread over the video, and of each three crops along the longer side (left,
            centre, right) that are as high as the short side: 256 pixels for a model of 256 and 224

    score of a video = mean over its clips and crops of the logits [classes], before softmax

The published code places the outer crops on whole quarters of the room that is left, and so does this. For a picture
that is higher than wide it takes the centre three times; here the crops are placed along its height.
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
from edge_tdn_training.data.augment import centre_crop, decoded_short_side
from edge_tdn_training.data.dataset import DataSet, Video
from edge_tdn_training.data.frames import Frames
from edge_tdn_training.data.labels import check_known
from edge_tdn_training.data.sampling import centre_segments, dense_clips
from edge_tdn_training.data.video_cache import Step, decode
from edge_tdn_training.evaluation.accuracy import Accuracy

Protocol = Literal["1x1", "10x3"]
KINETICS_CLIPS = 10
PYTORCH = "pytorch"  # the precision of a network that was not exported
EVALUATING = "evaluating a clip"  # named by errors of too little memory
Views = NDArray[np.uint8]  # [crops, T, InputSpec.frames, H, W, 3], RGB: one clip of a video
Logits = NDArray[np.float32]
Score = Callable[[Views], Logits]  # -> [crops, classes]


def views(frames: Frames, spec: InputSpec, protocol: Protocol) -> Iterator[Views]:
    """Yield the clips of a video. `frames`: at the model's rate, with the short side `decoded_short_side`."""
    for indices in clip_indices(len(frames), spec, protocol):
        needed, where = np.unique(indices, return_inverse=True)
        pictures = frames.take(needed)  # [n, h, w, 3]
        cropped = _three_crops(pictures, spec.short_side) if protocol == "10x3" else centre_crop(pictures, spec)[None]
        yield cropped[:, where.reshape(indices.shape)]


def clip_indices(count: int, spec: InputSpec, protocol: Protocol) -> list[NDArray[np.int64]]:
    """Return the frames of each clip of a video of `count` frames: int64 [T, InputSpec.frames].

    Each network of an ensemble takes the frames that it would take alone, arranged as the runtime needs them.
    """
    own = []
    for member in range(len(spec.per_segment)):
        segments = spec.of(member).segments
        dense = protocol == "10x3"
        taken = dense_clips(count, segments, KINETICS_CLIPS) if dense else centre_segments(count, segments)[None]
        own.append(taken.reshape(len(taken), spec.segments, -1))
    return list(np.concatenate(own, axis=2))


@dataclass(frozen=True, eq=False)
class EvaluatedModel:
    """A model to evaluate."""

    name: str
    sha256: str
    labels: tuple[str, ...]
    spec: InputSpec
    scorers: dict[str, Score]  # by precision


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The results of a data set."""

    accuracies: dict[str, Accuracy]  # by precision
    videos: tuple[Video, ...]
    skipped: tuple[str, ...]  # videos that could not be evaluated, and why


def steps(data: DataSet, models: Sequence[EvaluatedModel]) -> int:
    """Return the number of steps that `evaluate` reports."""
    return len(data.videos) * (1 + len(_decodings(models)))


def evaluate(
    data: DataSet,
    where: str,
    models: Sequence[EvaluatedModel],
    protocol: Protocol,
    cache: Path | None = None,
    step: Step = lambda _: None,
) -> Evaluation:
    """Evaluate models on the videos of `data`, which errors call `where`. Several are an ensemble: logits are added.

    ConfigError: labels that the model does not know, or no usable video. ModelError: models of different labels.
    DeviceError: not enough memory.
    """
    labels = models[0].labels
    for model in models:
        if model.labels != labels:
            raise ModelError(
                f"{model.name}: its labels differ from those of {models[0].name}, or have another order; the logits of "
                f"an ensemble are added, so all its models need the same labels"
            )
    check_known(where, data.labels, labels)
    decoded = {key: decode(data, *key, cache, step) for key in _decodings(models)}
    frames = {key: dict(zip(one.data.videos, one.frames, strict=True)) for key, one in decoded.items()}
    videos = [video for video in data.videos if all(video in one for one in frames.values())]
    logits: dict[str, list[Logits]] = {name: [] for name in models[0].scorers}
    for video in videos:
        step(video.path.name)
        each = [_scored(frames[decoding(one)][video], one, protocol) for one in models]
        for name, found in logits.items():
            found.append(np.sum([scored[name] for scored in each], axis=0))
    truth = np.array([labels.index(data.labels[video.label]) for video in videos])
    return Evaluation(
        accuracies={name: Accuracy(labels, np.stack(found), truth) for name, found in logits.items()},
        videos=tuple(videos),
        skipped=tuple(dict.fromkeys(reason for one in decoded.values() for reason in one.data.skipped)),
    )


def decoding(model: EvaluatedModel) -> tuple[float, int]:
    """Return the frame rate and short side at which videos are decoded."""
    return model.spec.frame_rate, decoded_short_side(model.spec)


def _decodings(models: Sequence[EvaluatedModel]) -> list[tuple[float, int]]:
    return list(dict.fromkeys(map(decoding, models)))


def _scored(frames: Frames, model: EvaluatedModel, protocol: Protocol) -> dict[str, Logits]:
    """Return the score of a video by precision: the mean logits [classes] of all views."""
    found: dict[str, list[Logits]] = {name: [] for name in model.scorers}
    for clip in views(frames, model.spec, protocol):
        for name, score in model.scorers.items():
            found[name].append(score(clip))
    return {name: np.concatenate(logits).mean(0) for name, logits in found.items()}


def check_protocol(protocol: Protocol, spec: InputSpec, precision: str, name: str) -> None:
    """ModelError: this precision cannot be evaluated by the protocol. Exported graphs have a fixed size."""
    if protocol == "1x1":
        return
    side = spec.short_side
    if spec.resize == "stretch":
        raise ModelError(
            f"{name}: its pictures are resized to {spec.width}x{spec.height} as a whole, so that protocol 10x3 has "
            f"nothing to crop; allowed: 1x1"
        )
    if precision != PYTORCH and (spec.height, spec.width) != (side, side):
        raise ModelError(
            f"{name}: {precision}: exported for {spec.width}x{spec.height}, and protocol 10x3 takes crops of "
            f"{side}x{side}; allowed: 10x3 with precision {PYTORCH}, 1x1, or a folder exported with --size {side} "
            f"--short-side {side}"
        )


def with_pytorch(networks: Networks, device: torch.device) -> Score:
    """Return a scorer of full-precision networks, which move to `device`; the logits of several are added."""
    spec = networks.spec
    members = [network.to(device).eval() for network in networks.members]

    def score(clips: Views) -> Logits:
        own = split(clips.reshape(-1, *clips.shape[2:]), spec)  # for each network [crops * T, 5, H, W, 3]
        pixels = [torch.from_numpy(frames.reshape(len(clips), -1, *frames.shape[1:])) for frames in own]
        with enough_memory(str(device), EVALUATING), torch.inference_mode():
            each = [
                network(normalise(frames.to(device), spec.mean, spec.std))  # [crops, classes]
                for network, frames in zip(members, pixels, strict=True)
            ]
            total: Logits = torch.stack(each).sum(0).cpu().numpy()
        return total

    return score


def with_runtime(runtime: Runtime) -> Score:
    """Return a scorer of exported graphs, which run as in the daemon: segment after segment into a ring."""

    def score(clips: Views) -> Logits:
        with enough_memory(runtime.device, EVALUATING):
            return np.stack([scores(runtime, clip) for clip in clips])

    return score


def _three_crops(pictures: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return three square crops of pictures [n, h, w, 3] whose short side is `side`: [3, n, side, side, 3]."""
    height, width = pictures.shape[1:3]
    down, right = (height - side) // 4, (width - side) // 4
    corners = [(step * down, step * right) for step in (0, 2, 4)]
    return np.stack([pictures[:, top : top + side, left : left + side] for top, left in corners])
