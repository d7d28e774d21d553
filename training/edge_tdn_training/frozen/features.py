"""Features of frozen networks: for each clip the inputs of a network's last layer, computed once and kept in the cache.

A clip of the data is as long as a clip of the model; clips of a video start half a clip apart. Each is also mirrored,
if the labels allow it. A network runs as one graph of OpenVINO, in FP32.
"""

import copy
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from edge_tdn_export.convert.model_folder import write_at_once
from edge_tdn_export.network.tdn import TDN
from edge_tdn_export.progress import ProgressDisplay
from numpy.typing import NDArray
from torch import nn

from edge_tdn.errors import ConfigError, ModelError
from edge_tdn.manifest import InputSpec
from edge_tdn_training.data.augment import centre_crop
from edge_tdn_training.data.decoded import DecodedDataSet, digest
from edge_tdn_training.data.sampling import centre_segments
from edge_tdn_training.evaluation.whole_network import compile_whole
from edge_tdn_training.frozen.last_layer import Features, Labels, LastLayer

MAX_CLIPS = 400  # of all classes together, before mirroring
MIN_CLASS_CLIPS = 8  # of a class, if that makes more
FOLDER = "features"  # in the cache
VERSION = 1  # increased when the same clips would give other features


@dataclass(frozen=True, eq=False)
class FrozenNetwork:
    """A network whose last layer is replaced."""

    name: str
    source: str  # file or folder of its weights
    sha256: str  # of that
    network: TDN
    original_layer: LastLayer | None = None  # the last layer it was trained with, if its scores are features too

    @property
    def identity(self) -> list[object]:
        """Return what its features depend on, besides the clips."""
        config = asdict(self.network.config)
        return [self.sha256, {key: value for key, value in config.items() if key != "classes"}]


@dataclass(frozen=True)
class FeatureClip:
    """A clip of a decoded data set."""

    video: int  # number of the video
    recording: str
    first: int  # frame of the video
    end: int  # the frame after its last
    label: int
    mirrored: bool = False


@dataclass(frozen=True, eq=False)
class ClipFeatures:
    """The features of clips, in the order of the clips."""

    clips: tuple[FeatureClip, ...]
    blocks: tuple[Features, ...]  # of each network

    @cached_property
    def labels(self) -> Labels:
        return np.array([clip.label for clip in self.clips])

    @cached_property
    def mirrored(self) -> NDArray[np.bool_]:
        return np.array([clip.mirrored for clip in self.clips])


def compute_features(
    decoded: DecodedDataSet, networks: Sequence[FrozenNetwork], spec: InputSpec, mirror: bool, cache: Path
) -> ClipFeatures:
    """Return the features of a data set's clips, with their mirror images if `mirror`; show the progress.

    ConfigError: the cache cannot be written. ModelError: OpenVINO does not give the results of PyTorch.
    """
    clips = _choose_clips(decoded, spec, mirror)
    blocks = [_block(decoded, clips, network, spec, cache / FOLDER) for network in networks]
    return ClipFeatures(tuple(clips), tuple(blocks))


def _choose_clips(decoded: DecodedDataSet, spec: InputSpec, mirror: bool) -> list[FeatureClip]:
    """Return the clips: of each class an even choice, if there are more than are needed."""
    length = spec.video_frames
    found: dict[int, list[FeatureClip]] = {}
    for number, (video, frames) in enumerate(zip(decoded.data.videos, decoded.frames, strict=True)):
        starts = range(0, max(1, len(frames) - length + 1), max(1, length // 2))
        ends = (min(first + length, len(frames)) for first in starts)
        own = [
            FeatureClip(number, video.source, first, end, video.label) for first, end in zip(starts, ends, strict=True)
        ]
        found.setdefault(video.label, []).extend(own)
    most = max(MIN_CLASS_CLIPS, MAX_CLIPS // len(found))
    chosen = []
    for clips in found.values():
        count = min(most, len(clips))
        chosen += [clips[number * len(clips) // count] for number in range(count)]
    if mirror:
        swaps = decoded.data.swaps
        chosen += [replace(clip, label=swaps[clip.label], mirrored=True) for clip in chosen]
    return chosen


def _block(
    decoded: DecodedDataSet, clips: Sequence[FeatureClip], frozen: FrozenNetwork, spec: InputSpec, cache: Path
) -> Features:
    """Return the features of one network, float32 [clips, features]; only those that are not cached are computed."""
    targets = [cache / f"{_key(decoded, clip, frozen, spec)}.npy" for clip in clips]
    found = [_read(target) for target in targets]
    missing = [number for number, features in enumerate(found) if features is None]
    if missing:
        run = compile_whole(without_last_layer(frozen.network), spec)
        with ProgressDisplay() as progress:
            for number in progress.track(missing, len(missing), f"features of clips, {frozen.name}"):
                found[number] = features = run(_pixels(decoded, clips[number], spec))
                _write(targets[number], features)
    return np.stack([features for features in found if features is not None])


def without_last_layer(network: TDN) -> TDN:
    """Return a copy whose outputs are the inputs of the last layer; their mean over T if it reads single segments."""
    own = copy.deepcopy(network).eval()
    own.linear = nn.Identity()  # type: ignore[assignment]
    return own


def _pixels(decoded: DecodedDataSet, clip: FeatureClip, spec: InputSpec) -> NDArray[np.uint8]:
    """Return the pixels of a clip as the daemon makes them, uint8 RGB [T, 5, H, W, 3]."""
    frames = decoded.frames[clip.video]
    indices, where = np.unique(clip.first + centre_segments(clip.end - clip.first, spec.segments), return_inverse=True)
    pictures = centre_crop(frames.take(indices), spec)[where.reshape(spec.segments, -1)]
    return np.ascontiguousarray(pictures[..., ::-1, :]) if clip.mirrored else pictures


def _key(decoded: DecodedDataSet, clip: FeatureClip, frozen: FrozenNetwork, spec: InputSpec) -> str:
    frames = decoded.frames[clip.video].identity
    return digest(VERSION, frozen.identity, spec.model_dump(mode="json"), frames, clip.first, clip.mirrored)


def _read(path: Path) -> Features | None:
    try:
        features: Features = np.load(path, allow_pickle=False)
        return features
    except (OSError, EOFError, ValueError):
        return None


def _write(path: Path, features: Features) -> None:
    np.save(buffer := io.BytesIO(), features)
    try:
        write_at_once(path, buffer.getvalue())
    except ModelError as error:
        raise ConfigError(f"{error}; choose another folder with --cache") from error
