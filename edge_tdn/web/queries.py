"""The queries of the page's requests: each key once, each value checked, and none that is not known."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from starlette.datastructures import QueryParams

from edge_tdn.hub.host_access import CameraPlace, EventCursor, ZonePlace
from edge_tdn.hub.hub import Hub
from edge_tdn.messages import NS_PER_MS
from edge_tdn.web.answers import Refused, shown

WIDTHS = (160, 320, 640, 960, 1280)  # of live pictures, pixels
MAX_EVENTS = 200  # in one answer
MAX_NAME_CHARS = 200  # of a camera, a zone or a label
MAX_CORNERS = 64  # of a drawn polygon

AnyQuery = TypeVar("AnyQuery", bound=BaseModel)


def read_query(model: type[AnyQuery], query: QueryParams) -> AnyQuery:
    """Return the query of a request; an empty value is as one that is left out. Refused: 422, with what is allowed."""
    counts = Counter(key for key, _ in query.multi_items())
    twice = next((key for key, count in counts.items() if count > 1), None)
    if twice is not None:
        raise Refused(422, f"the key {shown(twice)} occurs twice; once is allowed")
    given = {key: value for key, value in query.items() if value}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise Refused(422, _fault(model, given, error)) from error


def find_camera(hub: Hub, name: str) -> CameraPlace:
    """Return a served camera. Refused: 404."""
    for place in hub.host.places():
        if place.name == name:
            return place
    raise Refused(404, f"no camera {shown(name)}")


def find_zone(camera: CameraPlace, name: str | None) -> ZonePlace:
    """Return a zone of a camera, or its whole picture if it has no zones. Refused: 404."""
    if zone := camera.zone(name):
        return zone
    names = ", ".join(zone.name for zone in camera.zones if zone.name)
    there_are = f"its zones: {names}" if names else "it has no zones"
    what = "a zone is missing" if name is None else f"no zone {shown(name)}"
    raise Refused(404, f"camera {camera.name}: {what}; {there_are}")


def find_place(hub: Hub, camera: str, zone: str | None) -> tuple[CameraPlace, ZonePlace]:
    """Return a served camera, and a zone of it as `find_zone` does. Refused: 404."""
    found = find_camera(hub, camera)
    return found, find_zone(found, zone)


def _width(width: int) -> int:
    if width not in WIDTHS:
        raise ValueError
    return width


def _moment(text: object) -> int:
    """Return a time as milliseconds since 1970."""
    if not isinstance(text, str) or not text.endswith("Z"):
        raise ValueError
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _cursor(text: object) -> EventCursor:
    if not isinstance(text, str):
        raise ValueError
    return EventCursor.parse(text)


def _shares(text: object) -> tuple[float, ...]:
    """Return numbers with commas between them."""
    if not isinstance(text, str):
        raise ValueError
    shares = tuple(map(float, text.split(",")))
    if not all(map(isfinite, shares)):
        raise ValueError
    return shares


def _corners(text: object) -> tuple[tuple[float, ...], ...]:
    if not isinstance(text, str):
        raise ValueError
    return tuple(map(_shares, text.split(";")))


Name = Annotated[str, Field(max_length=MAX_NAME_CHARS)]
ZoneName = Annotated[Name | None, Field(description="the name of a zone of this camera")]
Threshold = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, description="a number from 0 to 1")]
FourShares = Annotated[tuple[float, float, float, float], BeforeValidator(_shares)]
Corners = Annotated[
    tuple[tuple[float, float], ...], Field(min_length=3, max_length=MAX_CORNERS), BeforeValidator(_corners)
]


class PageQuery(BaseModel):
    """A query without keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PictureQuery(PageQuery):
    """The query of a live picture."""

    w: Annotated[int, AfterValidator(_width)] = Field(default=640, description=f"one of {', '.join(map(str, WIDTHS))}")


class ScoresQuery(PageQuery):
    """The query of a zone's last scores."""

    zone: ZoneName = None
    since: Annotated[int, BeforeValidator(_moment)] = Field(  # milliseconds since 1970
        default=0, description="a time in UTC, such as 2026-03-01T12:00:00.250Z"
    )

    @property
    def since_ns(self) -> int:
        """The wall clock time after which scores are returned."""
        return self.since * NS_PER_MS


class WhatIfQuery(PageQuery):
    """The query of the actions that other thresholds would have given."""

    zone: ZoneName = None
    enter: Threshold
    exit: Threshold
    label: Annotated[Name | None, Field(description="the name of an action")] = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.exit > self.enter:
            raise ValueError(f"exit {self.exit:g} is above enter {self.enter:g}; an action would end as it starts")
        return self


class ZoneLinesQuery(PageQuery):
    """The query of the configuration's lines for a zone that was drawn."""

    name: Name = Field(description="a name for the zone")
    region: FourShares | None = Field(
        default=None, description="left, top, width and height as shares of the picture, such as 0.1,0.2,0.5,0.5"
    )
    polygon: Corners | None = Field(
        default=None,
        description=f"3 to {MAX_CORNERS} corners as shares of the picture, such as 0.1,0.1;0.9,0.1;0.5,0.9",
    )

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if (self.region is None) == (self.polygon is None):
            raise ValueError("a zone has a region or a polygon")
        return self


class EventsQuery(PageQuery):
    """The query of recent actions."""

    before: Annotated[EventCursor, BeforeValidator(_cursor)] | None = Field(
        default=None, description="`next` of an earlier answer"
    )
    camera: Annotated[Name | None, Field(description="the name of a camera")] = None
    label: Annotated[Name | None, Field(description="the name of an action")] = None
    limit: int = Field(default=50, ge=1, le=MAX_EVENTS, description=f"a whole number from 1 to {MAX_EVENTS}")

    @model_validator(mode="after")
    def _cursor_fits(self) -> Self:
        if self.before and (self.before.by == "seq") != (self.camera is not None):
            raise ValueError(f"before {self.before} is of another query: with a camera, or without one")
        return self


class ClipsQuery(PageQuery):
    """The query of the clips to learn from."""

    label: Annotated[Name | None, Field(description="the name of a class")] = None


def _fault(model: type[BaseModel], given: Mapping[str, str], error: ValidationError) -> str:
    """Return the first thing that is wrong, and what is allowed."""
    fault = error.errors(include_url=False)[0]
    if not fault["loc"]:
        return fault["msg"].removeprefix("Value error, ")
    key = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        return f"unknown key {shown(key)}; allowed: {', '.join(model.model_fields) or 'none'}"
    wrong = f"= {shown(given[key])}" if key in given else "is missing"
    return f"{key} {wrong}: {model.model_fields[key].description}"
