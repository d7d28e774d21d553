"""The input of a network whose checkpoint does not state it: as given on the command line, else as published."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from edge_tdn.errors import ConfigError
from edge_tdn.manifest import InputSpec
from edge_tdn_export.network.config import TDNConfig

SHORT_SIDE = 256 / 224  # the frame's short side before the crop, relative to the crop
PUBLISHED = {
    "height": 224,
    "width": 224,
    "resize": "short_side_centre_crop",
    "short_side": 256,
}
PUBLISHED_STRIDES = {8: 5, 16: 3}  # by T, of Something-Something: clips of 3.7 and 4.2 s
SOMETHING_CLASSES, KINETICS_CLASSES = 174, 400


@dataclass(frozen=True)
class PublishedInput:
    """The preprocessing that published weights were trained with, which they do not state."""

    data_set: str
    reason: str  # for taking it to be that of the weights
    frame_rate: float  # frames per second
    segment_stride: int  # frames

    def note(self, assumed: Iterable[str]) -> str:
        """Describe the fields that are assumed, for the user."""
        texts = {
            "frame_rate": f"{self.frame_rate:g} frames per second",
            "segment_stride": f"a segment every {self.segment_stride} frames",
        }
        which = " and ".join(texts[name] for name in assumed)
        return f"assumed preprocessing: that of {self.data_set} ({self.reason}), which is {which}"


def published_input(classes: int, segments: int) -> PublishedInput:
    """Return the preprocessing of the published weights with so many classes and segments.

    Something-Something's videos have 12 frames per second and last about 4 s, over which the published sampling spreads
    the T segments. Kinetics' have about 25; its test protocol reads windows of 64 frames.
    """
    if classes == KINETICS_CLASSES:
        return PublishedInput("Kinetics", f"{classes} classes", 25.0, max(1, 64 // segments))
    stride = PUBLISHED_STRIDES.get(segments, 5)
    if classes == SOMETHING_CLASSES:
        return PublishedInput("Something-Something", f"{classes} classes", 12.0, stride)
    return PublishedInput("Something-Something", f"no published weights have {classes} classes", 12.0, stride)


def stated_or_published(
    config: TDNConfig, known: InputSpec | None, given: Mapping[str, Any], note: Callable[[str], None]
) -> InputSpec:
    """Return the input of weights: as `given`, else as `known`, else that of published weights of this network.

    `given`: see `input_of`; all values that the command has an option for, None where it is not used. `note` is called
    with what was assumed. ConfigError: the values are invalid.
    """
    if known is not None:
        return input_of(config.segments, known, **given)
    published = published_input(config.classes, config.segments)
    missing = [name for name in ("frame_rate", "segment_stride") if given.get(name) is None]
    options = " and ".join(f"--{name.replace('_', '-')}" for name in missing if name in given)
    if missing:
        note(published.note(missing) + (f"; if its videos were different: {options}" if options else ""))
    return input_of(config.segments, **{**given, **{name: getattr(published, name) for name in missing}})


def input_of(segments: int, known: InputSpec | None = None, **given: Any) -> InputSpec:
    """Return the InputSpec with the `given` values, else those of `known`, else the published size and resizing.

    `given`: size (height and width of the frames in pixels), resize, short_side (before the crop, in pixels),
    frame_rate (frames per second), segment_stride (frames). None counts as absent; without `known`, the last two are
    required. The published values are those of the paper, section 4.1. ConfigError: the values are invalid.
    """
    values: dict[str, Any] = known.model_dump() if known else dict(PUBLISHED)
    given = {name: value for name, value in given.items() if value is not None}
    resized = "size" in given or "resize" in given
    if "size" in given:
        values["height"] = values["width"] = given.pop("size")
    values |= given
    if values["resize"] == "stretch":
        values["short_side"] = 0
    elif resized and "short_side" not in given:
        values["short_side"] = round(max(values["height"], values["width"]) * SHORT_SIDE)
    try:
        return InputSpec.model_validate({**values, "segments": segments})
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"])) or "input"
        raise ConfigError(f"{key}: {fault['msg']}, got {fault['input']!r}") from error
