"""The published input, computed independently of ours for comparison: Pillow's resize, the published sampling."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_tdn.capture.video_file import Decoder
from edge_tdn.errors import SourceError
from edge_tdn.manifest import InputSpec
from edge_tdn.media.colour import Packed
from edge_tdn.messages import FRAMES_PER_SEGMENT, NS_PER_S, Frame, Picture
from edge_tdn.segments.window import Window
from edge_tdn_export.clips import MAX_GAP_S, Recording, Resize, first_clip
from edge_tdn_export.network.reference import Networks, split
from edge_tdn_export.parity.result import InputComparison


def resize(frame: Picture, spec: InputSpec) -> Picture:
    """Resize uint8 RGB [h, w, 3] to [H, W, 3] as the published transforms do: antialiased bilinear, centre crop."""
    image = Image.fromarray(frame)
    if spec.resize == "stretch":
        return np.asarray(image.resize((spec.width, spec.height), Image.Resampling.BILINEAR))
    w, h = image.size
    short = min(w, h)
    size = (int(spec.short_side * w / short), int(spec.short_side * h / short))
    left, top = round((size[0] - spec.width) / 2), round((size[1] - spec.height) / 2)
    box = (left, top, left + spec.width, top + spec.height)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR).crop(box))


def frame_indices(frames: int, segments: int) -> NDArray[np.int64]:
    """Return the frame numbers that the published sampling picks from a video of N `frames`: [T, 5].

    Segment i starts at `int(tick/2 + tick*i)`, with tick = (N - 4) / T.
    """
    tick = (frames - FRAMES_PER_SEGMENT + 1) / segments
    starts = [int(tick / 2 + tick * i) if frames > segments + FRAMES_PER_SEGMENT - 1 else 0 for i in range(segments)]
    return np.minimum(np.array(starts)[:, None] + np.arange(FRAMES_PER_SEGMENT), frames - 1)


def sampling_agrees(spec: InputSpec) -> bool:
    """Check that our window picks the same frames, on a video of one clip whose frames encode their numbers.

    With a stride of 1 the published rule picks the first frame for all segments, and the result is always True.
    """
    if spec.segment_stride == 1:
        return True
    frames = spec.video_frames
    window = Window(spec, MAX_GAP_S)
    segments = []
    for number in range(frames):
        frame = np.empty((spec.height, spec.width, 3), np.uint8)
        frame[:] = (number % 256, number // 256, 0)
        pts_ns = round(number * NS_PER_S / spec.frame_rate)
        segments += window.push(Frame(Packed(frame), pts_ns, pts_ns, pts_ns, number, 0))
    if len(segments) != spec.segments:
        return False
    taken = np.stack([s.frames[:, 0, 0, 0] + 256 * s.frames[:, 0, 0, 1].astype(int) for s in segments])  # [T, frames]
    return all(
        np.array_equal(own[..., 0, 0, 0], frame_indices(frames, spec.of(number).segments))
        for number, own in enumerate(split(taken[..., None, None, None], spec))
    )


def compare_pixels(recording: Recording, networks: Networks) -> InputComparison | None:
    """Compare a recording's first clip from the live path with the published one: pixels, and PyTorch's logits.

    None: FFmpeg finds no clip in the video.
    """
    spec = networks.spec

    def clip(decoder: Decoder, resized: Resize | None) -> NDArray[np.uint8] | None:
        try:
            return first_clip(recording, spec, decoder, resized)
        except SourceError:
            return None

    ours = clip("auto", None)
    resized = clip("auto", lambda frame: resize(frame, spec))
    published = clip("opencv", lambda frame: resize(frame, spec))  # OpenCV decodes with FFmpeg
    if ours is None or resized is None or published is None:
        return None
    expected, got = networks(published), networks(ours)
    return InputComparison(
        recording=recording.name,
        frames=int(np.prod(ours.shape[:2])),
        mean_error=float(_grey_levels(ours, resized).mean()),
        max_error=float(_grey_levels(ours, resized).max()),
        decoder_error=float(_grey_levels(resized, published).mean()),
        logit_error=float(np.max(np.abs(got - expected)) / np.max(np.abs(expected))),
    )


def _grey_levels(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.int16]:
    difference: NDArray[np.int16] = np.abs(a.astype(np.int16) - b)
    return difference
