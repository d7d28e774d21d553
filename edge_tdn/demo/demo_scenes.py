"""The scenes of `edge-tdn demo`, and their addresses as the source of a camera.

demo:          a drawn object, see `demo_clip`
demo:people    recorded people, a video in this package
"""

from pathlib import Path

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
