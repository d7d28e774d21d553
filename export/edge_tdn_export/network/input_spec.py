"""What a network looks at, where it does not say so itself: as people say, else as published."""

from typing import Any

from pydantic import ValidationError

from edge_tdn.errors import ConfigError
from edge_tdn.manifest import InputSpec

SHORT_SIDE = 256 / 224  # of the picture before the crop, relative to the crop
PUBLISHED = {"height": 224, "width": 224, "resize": "short_side_centre_crop", "short_side": 256, "frame_rate": 12.0,
             "segment_stride": 5}  # fmt: skip


def input_of(segments: int, known: InputSpec | None = None, **said: Any) -> InputSpec:
    """As said, else as `known`, else as for Something-Something (the paper, section 4.1).

    `said`: size, height and width of the pictures; resize; short_side before the crop; frame_rate; segment_stride. What
    is None was not said. ConfigError: that cannot be.
    """
    values: dict[str, Any] = known.model_dump() if known else dict(PUBLISHED)
    given = {name: value for name, value in said.items() if value is not None}
    cut_anew = "size" in given or "resize" in given
    if "size" in given:
        values["height"] = values["width"] = given.pop("size")
    values |= given
    if values["resize"] == "stretch":
        values["short_side"] = 0
    elif cut_anew and "short_side" not in given:
        values["short_side"] = round(max(values["height"], values["width"]) * SHORT_SIDE)
    try:
        return InputSpec.model_validate({**values, "segments": segments})
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"])) or "input"
        raise ConfigError(f"{key}: {fault['msg']}, got {fault['input']!r}") from error
