"""`edge-tdn zones`: a picture of a real camera or file, with a grid of shares, and the zones of a configuration."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_tdn.__main__ import main
from edge_tdn.cli.zone_picture import EDGE, SIDE, DrawnZone, draw_zones
from edge_tdn.config.load import parse
from edge_tdn.media import gstreamer
from edge_tdn.media.outline import Outline
from edge_tdn.messages import Picture
from tests.support.rtsp import RtspCamera
from tests.support.site import write_camera

needs_gstreamer = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
ZONES = """
[[camera.zone]]
name = "gate"
region = [0.5, 0.25, 0.5, 0.5]

[[camera.zone]]
name = "lawn"
polygon = [[0.0, 0.5], [0.4, 0.5], [0.4, 1.0]]

[[camera.zone]]
name = "zone-1"
region = [0.1, 0.1, 0.2, 0.2]
"""
BLACK: Picture = np.zeros((90, 160, 3), np.uint8)


def drawn(png: bytes | Path, folder: Path) -> np.ndarray:
    """Return a PNG as int [H, W, 3]."""
    path = folder / "drawn.png"
    if isinstance(png, bytes):
        path.write_bytes(png)
    with Image.open(path if isinstance(png, bytes) else png) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def test_a_line_at_every_tenth_is_visible_on_black_and_on_white(tmp_path: Path) -> None:
    """And each has its share beside it, above and on the left."""
    width, height = SIDE, SIDE * 90 // 160
    for ground in (0, 255):
        pixels = drawn(draw_zones(BLACK + np.uint8(ground), []), tmp_path)
        inner = pixels[EDGE : EDGE + height, EDGE : EDGE + width, 0]
        across, down = inner[height // 20], inner[:, width // 20]  # between two lines
        for line, length in ((across, width), (down, height)):
            differs = np.flatnonzero(line != ground)
            for tenth in range(1, 10):
                at = round(tenth / 10 * (length - 1))
                assert np.ptp(line[at - 2 : at + 3]) > 60
                differs = differs[abs(differs - at) > 1]
            assert len(differs) == 0, "nothing else is drawn"
        for tenth in range(1, 10):
            x, y = (EDGE + round(tenth / 10 * (length - 1)) for length in (width, height))
            assert np.ptp(pixels[10 : EDGE - 12, x - 12 : x + 12]) > 150
            assert np.ptp(pixels[y - 9 : y + 9, 5 : EDGE - 12]) > 150


def test_every_zone_has_a_colour_of_its_own_and_a_line_below_the_picture(tmp_path: Path) -> None:
    outlines = [Outline((0.1 * n, 0.05 * n, 0.5, 0.5)) for n in range(5)]
    zones = [DrawnZone(f"zone-{n}", outline, (90, 160)) for n, outline in enumerate(outlines)]
    height = SIDE * 90 // 160
    without = drawn(draw_zones(BLACK, []), tmp_path)
    pixels = drawn(draw_zones(BLACK, zones), tmp_path)
    assert pixels.shape[0] > without.shape[0] + 5 * 20
    colours = set()
    for outline in outlines:
        right, bottom = outline.corners((height, SIDE))[2] + EDGE
        colours.add(tuple(pixels[bottom, right - 40]))  # on its lower edge
    assert len(colours) == 5
    assert all(max(colour) > 200 for colour in colours)
    legend = pixels[EDGE + height + 1 :].reshape(-1, 3)
    assert colours <= set(map(tuple, legend))


@needs_gstreamer
def test_the_zones_of_a_live_camera_are_drawn_and_named(
    rtsp: Callable[..., RtspCamera], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its password is not printed; the lines of a zone are TOML with a name that is free."""
    url = rtsp("s3cr3t-Pa55").url("camera:s3cr3t-Pa55@")
    site = write_camera(tmp_path, f'source = "{url}"\n{ZONES}')
    out = tmp_path / "new" / "zones.png"
    assert main(["zones", "a", "--config", str(site), "--out", str(out)]) == 0
    output = capsys.readouterr()
    assert "s3cr3t" not in output.err
    first, picture, *lines, _ = output.err.splitlines()
    assert first.startswith("connecting to rtsp://camera:***@127.0.0.1:")
    width, height = map(int, picture.removeprefix(f"{out}: the picture of ").split(",")[0].split("x"))
    assert lines[0] == f"zone gate: {width // 2}x{height // 2} pixels"
    assert lines[1].startswith("zone lawn: ")
    assert lines[2].startswith("zone zone-1: ")
    content = tomllib.loads(f'[[camera]]\nname = "a"\nsource = "{url}"\n{output.out}')
    (zone,) = parse(content, "printed").camera[0].zone
    assert (zone.name, zone.region) == ("zone-2", (0.25, 0.25, 0.5, 0.5)), "zone-1 is taken"
    with_polygon = output.out.replace("region =", "# region =").replace("# polygon =", "polygon =")
    content = tomllib.loads(f'[[camera]]\nname = "a"\nsource = "{url}"\n{with_polygon}')
    assert len(parse(content, "printed").camera[0].zone[0].polygon) == 4
    assert drawn(out, tmp_path).shape[1] > SIDE


@pytest.mark.parametrize("decoder", ["auto", "opencv"])
def test_a_file_is_drawn_with_the_rotation_of_its_camera_and_small_zones_are_named(
    decoder: str, make_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = f'source = "{make_video(frames=40)}"\ndecoder = "{decoder}"\nrotate = 90\n{ZONES}'
    out = tmp_path / "zones.png"
    assert main(["zones", "a", "--config", str(write_camera(tmp_path, keys)), "--out", str(out)]) == 0
    printed = capsys.readouterr().err
    assert "the picture of 96x128" in printed
    assert "connecting" not in printed
    assert "zone zone-1: 18x26 pixels of the picture of 96x128; a zone needs at least 32x32: enlarge it" in printed
    height, width, _ = drawn(out, tmp_path).shape
    assert height > SIDE > width


def test_the_zones_of_a_camera_are_drawn_over_a_recording_of_it(
    make_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = write_camera(tmp_path, f'source = "rtsp://127.0.0.1:1/away"\n{ZONES}')
    video, out = str(make_video(frames=40)), tmp_path / "zones.png"
    assert main(["zones", video, "--config", str(site), "--camera", "a", "--out", str(out)]) == 0
    printed = capsys.readouterr().err
    assert "the picture of 128x96" in printed
    assert "zone gate: 64x48 pixels" in printed
    assert main(["zones", video, "--config", str(site), "--camera", "b", "--out", str(out)]) == 78
    assert "--camera b: not a camera of" in capsys.readouterr().err


def test_a_file_needs_no_configuration(
    make_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A video that is shorter than a second is drawn, too."""
    out = tmp_path / "zones.png"
    assert main(["zones", str(make_video(frames=5)), "--out", str(out)]) == 0
    output = capsys.readouterr()
    assert 'name = "zone-1"' in output.out
    assert f"{out}: the picture of 128x96" in output.err
    assert out.is_file()


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["gone.mp4", "--out", "{}/zones.png"], 78, "gone.mp4: no such file; if it is a camera of a configuration"),
        (["./gone.mp4", "--out", "{}/zones.png"], 66, "gone.mp4: No such file or directory"),
        (["ftp://x/y", "--out", "{}/zones.png"], 78, "ftp://x/y: unknown kind of source ftp://"),
        (["rtsp://127.0.0.1:9/x", "--out", "{}/zones.png"], 66, "rtsp://127.0.0.1:9/x: "),
        (
            ["b", "--config", "{}/site.toml", "--out", "{}/zones.png"],
            78,
            "b: not a camera of {}/site.toml; its cameras: a",
        ),
        (["a", "--config", "{}/site.toml", "--out", "{}/zones.png"], 66, "empty.mp4: the file is empty"),
        (
            ["a", "--config", "{}/site.toml", "--out", "{}/zones.jpg"],
            78,
            "zones.jpg: --out writes a PNG; choose a name",
        ),
        (["a", "--config", "{}/site.toml", "--out", "{}"], 78, "is a folder; name a file"),
    ],
)
def test_what_cannot_be_drawn_is_an_error_and_nothing_is_written(
    words: list[str], status: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.mp4").touch()
    write_camera(tmp_path, 'source = "empty.mp4"\n')
    assert main(["zones", *(word.format(tmp_path) for word in words)]) == status
    output = capsys.readouterr()
    assert message.format(tmp_path) in output.err
    assert output.out == ""
    assert not list(tmp_path.glob("zones.*"))
