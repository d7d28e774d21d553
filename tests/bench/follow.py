"""Small actors, with and without a view that follows what moves: accuracy of clips and F1 of events.

    python -m tests.bench.follow --data FOLDER      FOLDER: real clips and ImageNet weights (EDGE_TDN_DATA)

Five activities, each a video of its own. The first 60 % of each teach a last layer on frozen ImageNet features, as
`edge-tdn-train finetune` does it, with the whole picture as the view. The rest is pasted at half and at a quarter of
the picture's width over other videos, at random places, and seen by the window of a camera. One scene for each
activity: the figures compare two views of the same clips, and do not show how well a model generalises.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import openvino as ov
import torch
from edge_tdn_export.network.tdn import TDN, normalise
from edge_tdn_training.frozen.last_layer import LastLayer, fit
from edge_tdn_training.frozen.networks import frozen_networks
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from edge_tdn.actions.decider import Decider, Origin
from edge_tdn.config.tables import DecideConfig
from edge_tdn.manifest import InputSpec
from edge_tdn.media.colour import Packed
from edge_tdn.messages import CENTRE, NS_PER_S, Frame, ModelRef, Picture, Scores, Segment
from edge_tdn.segments.motion_gate import MotionGate
from edge_tdn.segments.window import Window

ACTIVITIES = ("sam2_01_dog", "sam2_02_cups", "sam2_03_blocks", "sam2_04_coffee", "sam2_05_default_juggle")
BEHIND = {  # a video, and the second from which it is shown
    "a still picture": None,
    "bottles, a hand": ("bottle-detection", 11.0),
    "cars": ("car-detection", 14.0),
}
SIZE = (640, 360)  # width and height of the picture
SCALES = (1.0, 0.5, 0.25)
LEARNED = 0.6  # of each video
QUALITY = 70  # of JPEG, in place of a camera's compression


class Result(NamedTuple):
    """One video, seen in one way."""

    right: list[bool]  # of each clip
    events: list[str]  # the labels of the actions that began
    encoded: int  # segments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("EDGE_TDN_DATA", "../shared/data")))
    data = parser.parse_args().data
    networks, spec = frozen_networks(data / "weights/resnet50_imagenet_fp16.npz", ACTIVITIES)
    encode = _Encoder(networks[0].network, spec)
    actors = {name: _pictures(data / f"videos/{name}.mp4", spec.frame_rate) for name in ACTIVITIES}
    layer = _learn(actors, encode, spec)
    table = Table("actor", "behind it", "top-1, whole", "top-1, follow", "F1, whole", "F1, follow", "segments encoded")
    for scale in SCALES:
        for behind, video in BEHIND.items():
            if scale == 1 and video:
                continue
            background = _pictures(data / f"videos/{video[0]}.mp4", spec.frame_rate, video[1]) if video else None
            found: dict[bool, list[tuple[str, Result]]] = {False: [], True: []}
            for number, name in enumerate(track(ACTIVITIES, f"{scale:g}, {behind}", transient=True)):
                rest = actors[name][int(LEARNED * len(actors[name])) :]
                still = [actors[ACTIVITIES[(number + 1) % len(ACTIVITIES)]][0]]
                shown = list(_pasted(rest, background or still, scale, np.random.default_rng(number)))
                for follow, results in found.items():
                    results.append((name, _see(shown, spec, follow, encode, layer, name)))
            top1 = [np.mean([right for _, one in found[follow] for right in one.right]) for follow in (False, True)]
            ratio = sum(one.encoded for _, one in found[True]) / sum(one.encoded for _, one in found[False])
            figures = [f"{100 * x:.1f} %" for x in top1] + [f"{_f1(found[follow]):.2f}" for follow in (False, True)]
            table.add_row(f"{scale:g} of the width", behind if scale < 1 else "-", *figures, f"{ratio:.1f} x")
    Console().print(table)


class _Pooled(nn.Module):
    """Pictures uint8 [B, H, W, 3] -> features [B, 2048]."""

    def __init__(self, network: TDN, spec: InputSpec) -> None:
        super().__init__()
        self.network, self._spec = network, spec

    def forward(self, pictures: Tensor) -> Tensor:
        frames = normalise(pictures[:, None], self._spec.mean, self._spec.std)[:, 0]
        return self.network.encode_parts(frames, frames)[0]


class _Encoder:
    """Features of a segment's centre frame: uint8 [H, W, 3] -> float32 [2048]."""

    def __init__(self, network: TDN, spec: InputSpec) -> None:
        example = torch.zeros(1, spec.height, spec.width, 3, dtype=torch.uint8)
        graph = ov.convert_model(_Pooled(network, spec).eval(), example_input=example)
        self._request = ov.Core().compile_model(graph, "CPU").create_infer_request()
        self.count = 0

    def __call__(self, picture: Picture) -> NDArray[np.float32]:
        self.count += 1
        self._request.infer([picture[None]])
        features: NDArray[np.float32] = self._request.get_output_tensor().data[0].astype(np.float32)
        return features


def _pictures(video: Path, rate: float, from_s: float = 0.0, seconds: float = 12.0) -> list[Picture]:
    """Return the pictures of a video at the model's rate."""
    capture, found = cv2.VideoCapture(str(video)), []
    every_s = 1 / capture.get(cv2.CAP_PROP_FPS)
    number = 0
    while capture.grab() and number * every_s < from_s + seconds:
        if number * every_s >= from_s + len(found) / rate - every_s / 2:
            picture = cv2.resize(capture.retrieve()[1], SIZE, interpolation=cv2.INTER_AREA)
            found.append(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        number += 1
    return found  # type: ignore[return-value]


def _pasted(
    actor: Sequence[Picture], behind: Sequence[Picture], scale: float, random: np.random.Generator
) -> Iterator[Picture]:
    """Yield the pictures of an actor of a share of its width, at a random place of others."""
    width, height = int(SIZE[0] * scale), int(SIZE[1] * scale)
    left, top = (int(random.random() * rest) for rest in (SIZE[0] - width, SIZE[1] - height))
    for number, picture in enumerate(actor):
        shown = behind[number % len(behind)].copy()
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        shown[top : top + height, left : left + width] = small
        yield cv2.imdecode(cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1], cv2.IMREAD_COLOR)  # type: ignore[misc]


def _segments(pictures: Sequence[Picture], spec: InputSpec, follow: bool) -> Iterator[Segment]:
    window = Window(spec, max_gap_s=0.5, gate=MotionGate(), follow=follow)
    for number, picture in enumerate(pictures):
        at_ns = round(number * NS_PER_S / spec.frame_rate)
        yield from window.push(Frame(Packed(picture), at_ns, at_ns, at_ns, number, 1))


def _clips(
    pictures: Sequence[Picture], spec: InputSpec, follow: bool, encode: _Encoder
) -> Iterator[tuple[Segment, NDArray[np.float32]]]:
    """Yield each clip's newest segment, and the features [3 * 2048] of the clip."""
    ring: list[NDArray[np.float32]] = []
    newest = -1
    for segment in _segments(pictures, spec, follow):
        if segment.index <= newest:  # cut again
            ring.clear()
        newest = segment.index
        ring = [*ring, encode(segment.frames[CENTRE])][-spec.segments :]
        if len(ring) == spec.segments:
            features = np.stack(ring)
            change = np.abs(np.diff(features, axis=0))
            yield segment, np.concatenate([features.mean(0), change.mean(0), features.max(0)])


def _learn(actors: dict[str, list[Picture]], encode: _Encoder, spec: InputSpec) -> LastLayer:
    """Fit the last layer on the first part of each video, and its mirror image."""
    features, labels = [], []
    for label, pictures in enumerate(track(actors.values(), "features to learn from", transient=True)):
        first = pictures[: int(LEARNED * len(pictures))]
        for shown in (first, [np.ascontiguousarray(picture[:, ::-1]) for picture in first]):
            for _, clip in _clips(shown, spec, False, encode):
                features.append(clip)
                labels.append(label)
    found = np.stack(features)
    return fit(found, np.array(labels), len(actors), np.ones(found.shape[1], np.float32))


def _see(
    pictures: Sequence[Picture], spec: InputSpec, follow: bool, encode: _Encoder, layer: LastLayer, name: str
) -> Result:
    model = ModelRef(id="bench", precision="fp32", sha256="0" * 64)
    decider = Decider(DecideConfig(), Origin("bench", "camera", "bench", model), ACTIVITIES)
    right: list[bool] = []
    events: list[str] = []
    before = encode.count
    for segment, features in _clips(pictures, spec, follow, encode):
        logits = layer.logits(features[None])[0]
        right.append(ACTIVITIES[int(logits.argmax())] == name)
        at_ns = segment.to_ns
        scores = Scores(logits, max(0, at_ns - NS_PER_S), segment.from_ns, at_ns, at_ns, 40, 0, *[at_ns] * 4)
        events += [event.label for event in decider.push(scores) if event.type == "start"]
    return Result(right, events, encode.count - before)


def _f1(results: Sequence[tuple[str, Result]]) -> float:
    """Return the F1 of events: each video has one action."""
    hits = sum(name in one.events for name, one in results)
    false = sum(len(one.events) - (name in one.events) for name, one in results)
    return 2 * hits / (2 * hits + false + len(results) - hits)


if __name__ == "__main__":
    main()
