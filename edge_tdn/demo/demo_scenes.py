"""The scenes of `edge-tdn demo`, their addresses as the source of a camera, and the zones of `edge-tdn demo --zones`.

demo:          a drawn object, see `demo_clip`
demo:people    recorded people, a video in this package
"""

from pathlib import Path
from typing import Any

from edge_tdn.errors import SourceError
from edge_tdn.spelling import nearest

DEMO = "demo:"
DRAWN, PEOPLE = "drawn", "people"
SCENES = {DRAWN: DEMO, PEOPLE: DEMO + PEOPLE}  # name: address
RECORDED = {PEOPLE: Path(__file__).with_name("people.mp4")}
CREDITS = {
    SCENES[PEOPLE]: """\
sign language from https://github.com/intel-iot-devkit/sample-videos
(CC BY 4.0, cut and joined); `motion` names how something moves (up, down,
left ...), and does not read the signs"""
}

HALVES: tuple[dict[str, Any], ...] = (
    {"name": "left-half", "region": [0.0, 0.0, 0.5, 1.0]},
    {"name": "right-half", "region": [0.5, 0.0, 0.5, 1.0]},
)
ZONES: dict[str, tuple[dict[str, Any], ...]] = {  # by address; as tables of a configuration
    SCENES[PEOPLE]: (
        {"name": "face", "region": [0.3, 0.1, 0.4, 0.5]},
        {"name": "hands", "polygon": [[0.15, 0.5], [0.85, 0.5], [1.0, 1.0], [0.0, 1.0]]},
    )
}


def zones_of(address: str) -> list[dict[str, Any]]:
    """Return the tables of the zones of a scene, or of any other source: the whole picture, and two parts of it."""
    return [{"name": "whole"}, *ZONES.get(address, HALVES)]


def scene_path(address: str) -> Path:
    """Return the path of a scene's video, whether or not it is drawn. Raises SourceError if there is no such scene."""
    from edge_tdn.demo.demo_clip import demo_clip_path

    name = address.removeprefix(DEMO)
    if not name:
        return demo_clip_path()
    if name not in RECORDED:
        raise SourceError(f"{address}: unknown scene {name!r}; {nearest(name, RECORDED, 'there are')}")
    return RECORDED[name]


def video_path(name: str) -> Path:
    """Return the path of a video that a command names: a file, or the video of a scene, which is drawn if necessary."""
    from edge_tdn.demo.demo_clip import demo_clip

    if name == DEMO:
        return demo_clip()
    return scene_path(name) if name.startswith(DEMO) else Path(name)
