"""The tables of a camera's zones: parts of its picture with a model and limits of their own."""

from typing import Self

from pydantic import Field, model_validator

from edge_tdn.config.table import ConfigTable
from edge_tdn.config.value_types import Hop, Name, Polygon, Precision, Region, Seconds, Share, SmoothingSeconds

WHOLE = (0.0, 0.0, 1.0, 1.0)


class ZoneDecideConfig(ConfigTable):
    """[camera.zone.decide]: exceptions from [decide] in one zone. What is left out is as in [decide]."""

    smoothing_s: SmoothingSeconds | None = Field(default=None, description="seconds that scores are averaged over")
    enter_threshold: Share | None = Field(default=None, description="score at which an action starts")
    exit_threshold: Share | None = Field(default=None, description="score below which it ends")
    min_length_s: Seconds | None = Field(default=None, description="minimum duration, seconds")
    max_length_s: Seconds | None = Field(default=None, description="maximum duration, seconds; 0: unlimited")
    merge_gap_s: Seconds | None = Field(
        default=None, description="a score that returns within this many seconds continues the action"
    )
    cool_down_s: Seconds | None = Field(default=None, description="minimum seconds from its end to its next start")
    several: bool | None = Field(default=None, description="several actions at a time")
    only: tuple[str, ...] | None = Field(
        default=None, strict=False, description="actions that are reported in this zone, by name"
    )
    ignore: tuple[str, ...] | None = Field(
        default=None, strict=False, description="actions that are not reported in this zone, by name"
    )


class ZoneConfig(ConfigTable):
    """[[camera.zone]]: a part of a camera's picture. Without any, the whole picture is one."""

    name: Name = Field(description="letters, digits, dot, dash, underscore; unique within the camera")
    region: Region = Field(
        default=WHOLE,
        description="part of the camera's picture, as snapshots show it: left, top, width and height, as shares of it",
    )
    polygon: Polygon = Field(
        default=(),
        description="in place of `region`: corners as [x, y], shares of the picture; what lies outside is filled "
        "with grey",
    )
    model: str = Field(
        default="", description="a model folder (relative to this file), or a shipped model's name; empty: [runtime]'s"
    )
    precision: Precision | None = Field(default=None, description="of that model; default: that of [runtime]")
    hop: Hop | None = Field(
        default=None, description="segments from one classified clip to the next; default: the camera's"
    )
    motion_gate: bool | None = Field(
        default=None, description="do not compute a still scene again; default: as the camera"
    )
    follow: bool | None = Field(
        default=None, description="look closely at what moves in the zone; default: as the camera"
    )
    decide: ZoneDecideConfig = ZoneDecideConfig()

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if self.polygon and self.region != WHOLE:
            raise ValueError("has a region and a polygon; remove one of them")
        return self
