"""Why a network says a label: which places of a clip speak for it, and what the S-TDM is given to see.

Grad-CAM (Selvaraju et al., ICCV 2017, arXiv 1610.02391), of which the paper's figures 3 to 6 are made: a map of a late
stage weighs what the label's logit would gain with it; the weighted sum of the maps, where it is positive, is the heat.
Each segment has its own. A place that speaks against the label is as cold as one that says nothing.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edge_tdn.errors import ModelError
from edge_tdn.manifest import LABELS, InputSpec, check_labels, find_model, open_model
from edge_tdn.messages import FRAMES_PER_SEGMENT, NS_PER_S, Segment
from edge_tdn.spelling import nearest_of_many
from edge_tdn_export.clips import slide
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.reference import open_networks
from edge_tdn_export.network.tdn import RGB, STAGES, TDN, normalise

PLACES = 6  # a side: fewer do not tell where
MUST = "a baseline must be trained on the same clips, for the same labels"
Step = Callable[[float], None]  # how many seconds of the video are behind us


@dataclass(frozen=True, eq=False)
class Subject:
    """A network, and what it was trained to look at."""

    name: str
    network: TDN  # in evaluation mode
    spec: InputSpec
    labels: tuple[str, ...]
    background: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.network.requires_grad_(False)  # only maps need gradients; memory is kept for nothing else

    def label(self, name: str) -> int:
        """Its place among the logits. ModelError: there is none of this name."""
        if name in self.labels:
            return self.labels.index(name)
        raise ModelError(f"{self.name}: no label {name!r}; {nearest_of_many(name, self.labels)}")


@dataclass(frozen=True, eq=False)
class View:
    """What a network makes of one clip."""

    of: Subject
    scores: NDArray[np.float64]  # [classes], softmax
    stage: int  # whose maps the heat is made of
    heat: NDArray[np.float32]  # [T, H, W], 0 and more: how much each place of a segment speaks for the label
    motion: NDArray[np.float32] | None  # D(X), [T, 4, RGB, H/2, W/2], x2-x1 .. x5-x4; None: it has no S-TDM


def open_subject(name: str) -> Subject:
    """Of a model folder, or of a shipped model's name. ModelError: it is none, or an ensemble."""
    model = open_model(find_model(name, Path.cwd()))
    networks = open_networks(model).members
    if len(networks) > 1:
        raise ModelError(
            f"{model.folder}: an ensemble of {len(networks)} networks; explain the folders that it was made of"
        )
    manifest = model.manifest
    return Subject(manifest.id, networks[0], manifest.input, model.labels, manifest.background)


def subject_of(path: Path, network: TDN, spec: InputSpec, labels: Path | None) -> Subject:
    """Of a checkpoint. `labels`: by default those beside it. ModelError: they do not fit."""
    file = labels or path.with_name(LABELS)
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file}: {error.strerror}; --labels names a file, one label a line") from error
    return Subject(_short(path), network, spec, check_labels(file, raw, network.config.classes, ()))


def open_baseline(name: str, subject: Subject) -> Subject:
    """Of a model folder, or of a checkpoint that was trained on what `subject` was. ModelError: they do not compare."""
    path = Path(name)
    if path.is_file():
        network = checkpoint.load(path, segments=subject.spec.segments)
        if network.config.classes != len(subject.labels):
            classes = f"{network.config.classes} classes, {subject.name} has {len(subject.labels)}"
            raise ModelError(f"baseline {path}: {classes}; {MUST}")
        return Subject(_short(path), network, subject.spec, subject.labels)
    baseline = open_subject(name)
    for key in InputSpec.model_fields:
        ours, theirs = getattr(subject.spec, key), getattr(baseline.spec, key)
        if ours != theirs:
            raise ModelError(f"baseline {name}: input.{key} is {theirs}, that of {subject.name} {ours}; {MUST}")
    if subject.labels != baseline.labels:
        differing = sorted(set(subject.labels) ^ set(baseline.labels))
        what = f"{differing[0]!r} is a label of one alone" if differing else "the same ones in another order"
        raise ModelError(f"baseline {name}: other labels than {subject.name}: {what}; {MUST}")
    return baseline


def clip_at(video: Path, spec: InputSpec, at_s: float, step: Step = lambda _: None) -> tuple[Segment, ...]:
    """The clip of a video whose middle is nearest to a moment.

    ModelError: it has none there. SourceError: it cannot be played.
    """
    nearest: tuple[Segment, ...] = ()
    for segments in slide(video, spec):
        step(segments[-1].to_ns / NS_PER_S)
        if nearest and _away(segments, at_s) >= _away(nearest, at_s):
            break
        nearest = segments
    if not nearest:
        raise _too_short(video, spec)
    from_s, to_s = (ns / NS_PER_S for ns in (nearest[0].from_ns, nearest[-1].to_ns))
    if not from_s - spec.segment_s <= at_s <= to_s + spec.segment_s:  # the grid begins and ends with whole segments
        raise ModelError(f"{video}: no clip at {at_s:g} s; the nearest one is from {from_s:.1f} to {to_s:.1f} s")
    return nearest


def best_clip(
    subject: Subject, video: Path, label: int | None = None, step: Step = lambda _: None
) -> tuple[Segment, ...]:
    """The clip of a video with the highest score: of a label, or of any that is not a background label.

    ModelError: the video is too short. SourceError: it cannot be played.
    """
    network, spec = subject.network, subject.spec
    rated = [n for n, name in enumerate(subject.labels) if name not in subject.background] if label is None else [label]
    best: tuple[Segment, ...] = ()
    highest = -np.inf
    features: deque[tuple[Tensor, ...]] = deque(maxlen=spec.segments)
    for segments in slide(video, spec):
        step(segments[-1].to_ns / NS_PER_S)
        unseen = segments if segments[0].index == 0 else segments[-1:]  # a new stretch, or one segment on
        with torch.inference_mode():
            features.extend(network.encode(_pixels(segment.frames[None], spec)) for segment in unseen)
            logits = network.classify(*(torch.cat(parts) for parts in zip(*features, strict=True)))[0]
            score = logits.double().log_softmax(0)[rated].max().item()  # its logarithm tells scores near 1 apart
        if score > highest:
            best, highest = segments, score
    if not best:
        raise _too_short(video, spec)
    return best


def stage_of(spec: InputSpec) -> int:
    """The last stage whose maps have PLACES a side: res5 at 224 pixels, as in the paper; an earlier one below 192.

    (Of 96 pixels res5 leaves 3x3 places. The heat of `motion` is there 2 times as hot over the thing that moves as
    elsewhere, with its hottest place on it in 3 of 10 segments; in res4 5 times as hot, and in 7 of 10.)
    """
    return max(n for n in STAGES if min(spec.height, spec.width) // 2**n >= PLACES)  # at 32 pixels, res2 has 8


def look_at(
    segments: Sequence[Segment], subjects: Sequence[Subject], label: int | None = None
) -> tuple[int, tuple[View, ...]]:
    """Every network's view of a clip, and the label that the heat is for: by default the last one's top-1."""
    frames = np.stack([segment.frames for segment in segments])
    if label is None:
        with torch.inference_mode():
            label = int(subjects[-1].network(_pixels(frames[None], subjects[-1].spec)).argmax())
    return label, tuple(look(subject, frames, label) for subject in subjects)


def look(subject: Subject, frames: NDArray[np.uint8], label: int) -> View:
    """A network's view of a clip, uint8 [T, 5, H, W, 3]; the heat is that of one label."""
    network, stage = subject.network, stage_of(subject.spec)
    maps: list[Tensor] = []
    motion: list[Tensor] = []

    def leaf(module: Any, inputs: Any, output: Tensor) -> Tensor:
        """Gradients are wanted up to here, and no further."""
        maps.append(output.detach().requires_grad_())
        return maps[0]

    last = list(network.get_submodule(f"res{stage}").children())[-1]
    hooks = [last.register_forward_hook(leaf)]
    if network.stdm is not None:
        hooks.append(network.stdm.conv.register_forward_pre_hook(lambda _, inputs: motion.append(inputs[0])))
    try:
        logits = network(_pixels(frames[None], subject.spec))[0]  # [classes]
    finally:
        for hook in hooks:
            hook.remove()
    heat = grad_cam(maps[0], logits[label])  # [T, h, w]
    heat = F.interpolate(heat[:, None], size=frames.shape[2:4], mode="bilinear", align_corners=False)[:, 0]
    return View(
        of=subject,
        scores=logits.detach().double().softmax(0).numpy(),
        stage=stage,
        heat=heat.numpy(),
        motion=motion[0].view(-1, FRAMES_PER_SEGMENT - 1, RGB, *motion[0].shape[2:]).numpy() if motion else None,
    )


def grad_cam(maps: Tensor, logit: Tensor) -> Tensor:
    """Equations 1 and 2 of Grad-CAM, segment by segment. `logit` was computed from `maps` [T, C, h, w] -> [T, h, w]."""
    (gradient,) = torch.autograd.grad(logit, maps)
    weights = gradient.mean((2, 3), keepdim=True)  # [T, C, 1, 1]
    return F.relu((weights * maps.detach()).sum(1))


def _pixels(frames: NDArray[np.uint8], spec: InputSpec) -> Tensor:
    return normalise(torch.from_numpy(frames), spec.mean, spec.std)


def _away(segments: Sequence[Segment], at_s: float) -> float:
    """Seconds from the middle of a clip to a moment."""
    return abs((segments[0].from_ns + segments[-1].to_ns) / 2 / NS_PER_S - at_s)


def _short(path: Path) -> str:
    """The name of a checkpoint's file alone says little."""
    return "/".join(path.parts[-2:])


def _too_short(video: Path, spec: InputSpec) -> ModelError:
    clip_s = spec.ticks / spec.frame_rate
    return ModelError(f"{video}: too short, a clip of this model spans {clip_s:.1f} s of unbroken video")
