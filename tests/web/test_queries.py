"""Queries: what they may have, and the sentence that refuses all else."""

import pytest
from starlette.datastructures import QueryParams

from edge_tdn.hub.host_access import EventCursor
from edge_tdn.web.answers import Refused
from edge_tdn.web.queries import (
    EventsQuery,
    PageQuery,
    PictureQuery,
    ScoresQuery,
    WhatIfQuery,
    ZoneLinesQuery,
    find_zone,
    read_query,
)
from tests.support.page_rig import camera_place, zone_place

SHARES = "left, top, width and height as shares of the picture, such as 0.1,0.2,0.5,0.5"
UTC = "a time in UTC, such as 2026-03-01T12:00:00.250Z"


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("", PictureQuery(w=640)),
        ("w=160", PictureQuery(w=160)),
        ("zone=&since=", ScoresQuery()),
        ("zone=gate", ScoresQuery(zone="gate")),
        ("enter=0.7&exit=0.7&label=a%2Fb", WhatIfQuery(enter=0.7, exit=0.7, label="a/b")),
        ("name=a&region=0,0,.5,1", ZoneLinesQuery.model_construct(name="a", region=(0, 0, 0.5, 1), polygon=None)),
        ("before=n12&limit=3", EventsQuery.model_construct(before=EventCursor("number", 12), limit=3)),
        ("before=s4&camera=a", EventsQuery.model_construct(before=EventCursor("seq", 4), camera="a")),
    ],
)
def test_a_query_is_read(text: str, query: PageQuery) -> None:
    assert read_query(type(query), QueryParams(text)) == query


def test_a_time_is_read_as_nanoseconds_since_1970() -> None:
    query = read_query(ScoresQuery, QueryParams("since=2026-03-01T12:00:00.250Z"))
    assert query.since_ns == 1_772_366_400_250_000_000


def test_a_polygon_is_read() -> None:
    query = read_query(ZoneLinesQuery, QueryParams("name=a&polygon=0,0;1,0;.5,1"))
    assert query.polygon == ((0, 0), (1, 0), (0.5, 1))


@pytest.mark.parametrize(
    ("model", "text", "error"),
    [
        (PictureQuery, "w=0", "w = '0': one of 160, 320, 640, 960, 1280"),
        (PictureQuery, "w=640&w=320", "the key 'w' occurs twice; once is allowed"),
        (PictureQuery, "x=1", "unknown key 'x'; allowed: w"),
        (ScoresQuery, "since=now", f"since = 'now': {UTC}"),
        (ScoresQuery, "since=2026-03-01T12:00:00", f"since = '2026-03-01T12:00:00': {UTC}"),
        (ScoresQuery, "since=2026-99-01T12:00:00Z", f"since = '2026-99-01T12:00:00Z': {UTC}"),
        (ScoresQuery, f"zone={'x' * 201}", f"zone = '{'x' * 63}…': the name of a zone of this camera"),
        (WhatIfQuery, "exit=0.1", "enter is missing: a number from 0 to 1"),
        (WhatIfQuery, "enter=nan&exit=0", "enter = 'nan': a number from 0 to 1"),
        (WhatIfQuery, "enter=1e400&exit=0", "enter = '1e400': a number from 0 to 1"),
        (WhatIfQuery, "enter=0.2&exit=0.5", "exit 0.5 is above enter 0.2; an action would end as it starts"),
        (ZoneLinesQuery, "name=a", "a zone has a region or a polygon"),
        (ZoneLinesQuery, "name=a&region=0,0,1,1&polygon=0,0;1,0;1,1", "a zone has a region or a polygon"),
        (ZoneLinesQuery, "name=a&region=0,0,1", f"region = '0,0,1': {SHARES}"),
        (ZoneLinesQuery, "name=a&region=0,0,1,inf", f"region = '0,0,1,inf': {SHARES}"),
        (EventsQuery, "before=x1", "before = 'x1': `next` of an earlier answer"),
        (EventsQuery, f"before=n{'9' * 19}", f"before = 'n{'9' * 19}': `next` of an earlier answer"),
        (EventsQuery, "before=s1", "before s1 is of another query: with a camera, or without one"),
        (EventsQuery, "before=n1&camera=a", "before n1 is of another query: with a camera, or without one"),
        (EventsQuery, "limit=201", "limit = '201': a whole number from 1 to 200"),
        (EventsQuery, "limit=1.5", "limit = '1.5': a whole number from 1 to 200"),
    ],
)
def test_a_query_is_refused_with_what_is_allowed(model: type[PageQuery], text: str, error: str) -> None:
    with pytest.raises(Refused) as refused:
        read_query(model, QueryParams(text))
    assert (refused.value.status, refused.value.error) == (422, error)


@pytest.mark.parametrize("text", ["name=a&polygon=0,0;1,0", "name=a&polygon=" + ";".join(["0,0"] * 65)])
def test_a_polygon_has_a_limited_number_of_corners(text: str) -> None:
    with pytest.raises(Refused, match="3 to 64 corners as shares of the picture") as refused:
        read_query(ZoneLinesQuery, QueryParams(text))
    assert refused.value.status == 422


def test_a_zone_is_found_by_its_name() -> None:
    whole, zones = camera_place(), camera_place("door", zone_place("gate"), zone_place("path"))
    assert find_zone(whole, None) is whole.zones[0]
    assert find_zone(zones, "path") is zones.zones[1]
    for camera, name, error in (
        (whole, "gate", "camera door: no zone 'gate'; it has no zones"),
        (zones, None, "camera door: a zone is missing; its zones: gate, path"),
    ):
        with pytest.raises(Refused) as refused:
            find_zone(camera, name)
        assert (refused.value.status, refused.value.error) == (404, error)
