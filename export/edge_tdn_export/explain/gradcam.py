"""Explain a network's score of a label: Grad-CAM over each segment, and the differences that the S-TDM reads.

Grad-CAM (Selvaraju et al., ICCV 2017, arXiv 1610.02391), as in the paper's figures 3 to 6: the weight of a feature map
of a late stage is the mean gradient of the label's logit; the weighted sum of the maps, where positive, is the heat.
Each segment has its own. Locations that lower the score are as cold as those without influence.
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
from edge_tdn.label_file import check_labels
from edge_tdn.manifest import InputSpec, find_model, open_model
from edge_tdn.messages import FRAMES_PER_SEGMENT, NS_PER_S, Segment
from edge_tdn.spelling import closest
from edge_tdn_export.clips import slide
from edge_tdn_export.lists.labels import read_labels
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.config import STAGES
from edge_tdn_export.network.reference import open_networks
from edge_tdn_export.network.source import WeightsSource
from edge_tdn_export.network.tdn import RGB, TDN, normalise

MAX_NEAR = 5  # labels in a message
MIN_SIDE = 6  # height and width of the feature maps; smaller ones do not locate the action
MUST = "a baseline must be trained on the same clips, for the same labels"
OnSeconds = Callable[[float], None]  # called with the seconds of the video that have been read


@dataclass(frozen=True, eq=False)
class ExplainedModel:
    """A network with the input and labels that it was trained on."""

    name: str
    network: TDN  # in evaluation mode
    spec: InputSpec
    labels: tuple[str, ...]
    background: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.network.requires_grad_(False)  # only feature maps need gradients; this saves memory

    def label(self, name: str) -> int:
        """Return the index of a label. ModelError: there is no such label."""
        if name in self.labels:
            return self.labels.index(name)
        near = closest(name, self.labels, MAX_NEAR, 0.0)
        more = f" and {len(self.labels) - MAX_NEAR} more" if len(self.labels) > MAX_NEAR else ""
        raise ModelError(f"{self.name}: no label {name!r}; the nearest: {', '.join(near)}{more}")


@dataclass(frozen=True, eq=False)
class ModelView:
    """The scores of one model for one clip, and the heat of one label."""

    model: ExplainedModel
    scores: NDArray[np.float64]  # [classes], softmax
    stage: int  # whose feature maps give the heat
    heat: NDArray[np.float32]  # [T, H, W], at least 0: influence of each location on the label's logit
    motion: NDArray[np.float32] | None  # D(X), [T, 4, RGB, H/2, W/2], x2-x1 .. x5-x4; None: no S-TDM


def open_explained(name: str) -> ExplainedModel:
    """Open a model folder or a shipped model by name. ModelError: it does not exist, or is an ensemble."""
    model = open_model(find_model(name, Path.cwd()))
    networks = open_networks(model).members
    if len(networks) > 1:
        raise ModelError(f"{model.folder}: an ensemble of {len(networks)} networks; explain its folders one by one")
    manifest = model.manifest
    return ExplainedModel(manifest.id, networks[0], manifest.input, model.labels, manifest.background)


def explained_checkpoint(source: WeightsSource, network: TDN, spec: InputSpec, labels: Path | None) -> ExplainedModel:
    """Combine a loaded checkpoint with its input and labels, by default the file beside it.

    ModelError: the labels cannot be read, or do not match the network.
    """
    file = labels or source.labels_for(network.config.classes)
    found = read_labels(file).labels
    background = tuple(label for label in source.background_of(found) if label in found)
    check_labels(file, found, network.config.classes, background)
    return ExplainedModel(_short(source.weights), network, spec, found, background)


def open_baseline(name: str, model: ExplainedModel) -> ExplainedModel:
    """Open a second model: a folder, or a checkpoint with the input and labels of `model`.

    ModelError: the two models are not comparable.
    """
    path = Path(name)
    if path.is_file():
        network = checkpoint.load(path, segments=model.spec.segments)
        if network.config.classes != len(model.labels):
            classes = f"{network.config.classes} classes, {model.name} has {len(model.labels)}"
            raise ModelError(f"baseline {path}: {classes}; {MUST}")
        return ExplainedModel(_short(path), network, model.spec, model.labels)
    baseline = open_explained(name)
    for key in InputSpec.model_fields:
        ours, theirs = getattr(model.spec, key), getattr(baseline.spec, key)
        if ours != theirs:
            raise ModelError(f"baseline {name}: input.{key} is {theirs}, that of {model.name} {ours}; {MUST}")
    if model.labels != baseline.labels:
        differing = sorted(set(model.labels) ^ set(baseline.labels))
        what = f"only one of them has {differing[0]!r}" if differing else "the same ones in another order"
        raise ModelError(f"baseline {name}: other labels than {model.name}: {what}; {MUST}")
    return baseline


def clip_at(video: Path, spec: InputSpec, at_s: float, step: OnSeconds = lambda _: None) -> tuple[Segment, ...]:
    """Return the clip of a video whose middle is nearest to `at_s` seconds.

    ModelError: the video has no clip there. SourceError: it cannot be played.
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
    if not from_s - spec.segment_s <= at_s <= to_s + spec.segment_s:  # the grid has whole segments only
        raise ModelError(f"{video}: no clip at {at_s:g} s; the nearest one is from {from_s:.1f} to {to_s:.1f} s")
    return nearest


def best_clip(
    model: ExplainedModel, video: Path, label: int | None = None, step: OnSeconds = lambda _: None
) -> tuple[Segment, ...]:
    """Return the clip of a video with the highest score of `label`, by default of any label but the background's.

    ModelError: the video is too short. SourceError: it cannot be played.
    """
    network, spec = model.network, model.spec
    foreground = [n for n, name in enumerate(model.labels) if name not in model.background]
    rated = foreground if label is None else [label]
    best: tuple[Segment, ...] = ()
    highest = -np.inf
    features: deque[tuple[Tensor, ...]] = deque(maxlen=spec.segments)
    for segments in slide(video, spec):
        step(segments[-1].to_ns / NS_PER_S)
        unseen = segments if segments[0].index == 0 else segments[-1:]  # a new run, or one more segment
        with torch.inference_mode():
            features.extend(network.encode(_pixels(segment.frames[None], spec)) for segment in unseen)
            logits = network.classify(*(torch.cat(parts) for parts in zip(*features, strict=True)))[0]
            score = logits.double().log_softmax(0)[rated].max().item()  # logarithms separate scores near 1
        if score > highest:
            best, highest = segments, score
    if not best:
        raise _too_short(video, spec)
    return best


def stage_of(spec: InputSpec) -> int:
    """Return the last stage with maps of at least MIN_SIDE: res5 at 224 pixels, as in the paper, earlier below 192.

    (At 96 pixels res5 has maps of 3x3. There the heat of the model `motion` is 2 times as high on the moving object as
    elsewhere, with its maximum on it in 3 of 10 segments; in res4 5 times as high, and in 7 of 10.)
    """
    return max(n for n in STAGES if min(spec.height, spec.width) // 2**n >= MIN_SIDE)  # at 32 pixels, res2 has 8


def explain_clip(
    segments: Sequence[Segment], models: Sequence[ExplainedModel], label: int | None = None
) -> tuple[int, tuple[ModelView, ...]]:
    """Explain one label of a clip with every model; return the label, by default the last model's top-1, and all."""
    frames = np.stack([segment.frames for segment in segments])
    if label is None:
        with torch.inference_mode():
            label = int(models[-1].network(_pixels(frames[None], models[-1].spec)).argmax())
    return label, tuple(explain(model, frames, label) for model in models)


def explain(model: ExplainedModel, frames: NDArray[np.uint8], label: int) -> ModelView:
    """Explain one label of a clip, uint8 RGB [T, 5, H, W, 3], with one model."""
    network, stage = model.network, stage_of(model.spec)
    maps: list[Tensor] = []
    motion: list[Tensor] = []

    def leaf(module: Any, inputs: Any, output: Tensor) -> Tensor:
        """Cut the autograd graph: gradients are needed down to this stage only."""
        maps.append(output.detach().requires_grad_())
        return maps[0]

    last = list(network.get_submodule(f"res{stage}").children())[-1]
    hooks = [last.register_forward_hook(leaf)]
    if network.stdm is not None:
        hooks.append(network.stdm.conv.register_forward_pre_hook(lambda _, inputs: motion.append(inputs[0])))
    try:
        logits = network(_pixels(frames[None], model.spec))[0]  # [classes]
    finally:
        for hook in hooks:
            hook.remove()
    heat = grad_cam(maps[0], logits[label])  # [T, h, w]
    heat = F.interpolate(heat[:, None], size=frames.shape[2:4], mode="bilinear", align_corners=False)[:, 0]
    return ModelView(
        model=model,
        scores=logits.detach().double().softmax(0).numpy(),
        stage=stage,
        heat=heat.numpy(),
        motion=motion[0].view(-1, FRAMES_PER_SEGMENT - 1, RGB, *motion[0].shape[2:]).numpy() if motion else None,
    )


def grad_cam(maps: Tensor, logit: Tensor) -> Tensor:
    """Return the heat [T, h, w] of feature maps [T, C, h, w] that `logit` depends on (Grad-CAM, equations 1 and 2)."""
    (gradient,) = torch.autograd.grad(logit, maps)
    weights = gradient.mean((2, 3), keepdim=True)  # [T, C, 1, 1]
    return F.relu((weights * maps.detach()).sum(1))


def _pixels(frames: NDArray[np.uint8], spec: InputSpec) -> Tensor:
    return normalise(torch.from_numpy(frames), spec.mean, spec.std)


def _away(segments: Sequence[Segment], at_s: float) -> float:
    """Return the distance from the middle of a clip to `at_s`, in seconds."""
    return abs((segments[0].from_ns + segments[-1].to_ns) / 2 / NS_PER_S - at_s)


def _short(path: Path) -> str:
    """Return the last two parts of a path: many checkpoints have the same file name."""
    return "/".join(path.parts[-2:])


def _too_short(video: Path, spec: InputSpec) -> ModelError:
    return ModelError(f"{video}: too short, a clip of this model needs {spec.needed_s():.1f} s of unbroken video")
