"""The live view of `edge-tdn demo` in real pseudo-terminals: its picture, its size, and its hints without one."""

import re
import sys
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from edge_tdn.cli.live_view import LiveView
from edge_tdn.cli.outlined_picture import seen_corners
from edge_tdn.cli.terminal_pictures import KittyGraphics, PicturePlace, SixelGraphics
from edge_tdn.manifest import InputSpec
from edge_tdn.media.outline import Outline
from edge_tdn.media.video_writer import write_video
from edge_tdn.messages import Picture, TopScores
from edge_tdn.segments.preprocess import Preprocessor
from edge_tdn.status_messages import CameraStatus
from tests.support.retained import camera_status, zone_status
from tests.support.subscriber import MOMENT, make_event
from tests.support.terminal import CELL, Kind, ShownPicture, Terminal, decode_sixels
from tests.support.waiting import eventually

WIDTH, HEIGHT = 320, 180  # of the camera, pixels
COLOURS = ((200, 40, 40), (40, 160, 60), (40, 70, 200), (220, 200, 60))  # of the quarters, row by row


def quarters() -> Picture:
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for number, colour in enumerate(COLOURS):
        y, x = divmod(number, 2)
        picture[y * HEIGHT // 2 : (y + 1) * HEIGHT // 2, x * WIDTH // 2 : (x + 1) * WIDTH // 2] = colour
    return picture


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that shows a still picture of four colours."""
    path = tmp_path_factory.mktemp("video") / "quarters.mp4"
    write_video((quarters() for _ in range(150)), 15, path)
    return [sys.executable, "-m", "edge_tdn", "demo", "--seconds", "0", "--source", str(path)]


def is_whole(lines: list[str], columns: int) -> bool:
    """Return whether the panel fills the screen: no corner has scrolled away, no line is cut or left from before."""
    first, *middle, last = lines
    return (
        first.startswith("╭")
        and first.endswith("╮")
        and last.startswith("╰")
        and last.endswith("╯")
        and {len(line) for line in lines} == {columns}
        and all(line[0] == line[-1] == "│" for line in middle)
    )


def shows_quarters(shown: ShownPicture | None) -> bool:
    """Return whether a picture has the four colours, each where it is in front of the camera."""
    if shown is None:
        return False
    height, width = shown.pixels.shape[:2]
    for number, colour in enumerate(COLOURS):
        y, x = divmod(number, 2)
        middle = shown.pixels[(2 * y + 1) * height // 4, (2 * x + 1) * width // 4].astype(int)
        if np.abs(middle - colour).max() > 40:  # the video's codec, and the palette of sixels
            return False
    return True


def aspect(shown: ShownPicture) -> float:
    return shown.columns * CELL[0] / (shown.rows * CELL[1])


def until_whole(terminal: Terminal, columns: int) -> tuple[ShownPicture, list[str]]:
    """Wait for the view with scores and picture in this width; return the picture, and the lines of that moment."""

    def complete() -> tuple[ShownPicture, list[str]] | None:
        picture, lines = terminal.view
        text = "\n".join(lines)
        known = all(part in text for part in ("streaming", f"{WIDTH}x{HEIGHT}", "still", "time"))
        return (picture, lines) if picture and known and is_whole(lines, columns) and shows_quarters(picture) else None

    return eventually(complete, describe=lambda: "\n".join(terminal.lines))


@pytest.mark.parametrize("kind", ["text", "kitty", "sixel"])
def test_every_size_shows_the_whole_picture_beside_the_scores(kind: Kind, demo: list[str]) -> None:
    """Also after the terminal was resized: nothing is cut, scrolled or left behind."""
    with Terminal(demo, 80, 24, kind) as terminal:
        areas = []
        for columns, rows in ((80, 24), (100, 30), (60, 20), (160, 50), (80, 24)):
            terminal.resize(columns, rows)
            picture, lines = until_whole(terminal, columns)
            assert aspect(picture) == pytest.approx(WIDTH / HEIGHT, rel=0.15)
            assert any("still" in line for line in lines[picture.row : picture.row + picture.rows])
            assert any(line.startswith("│ time") for line in lines[picture.row + picture.rows :])
            areas.append(picture.columns * picture.rows)
        assert areas[2] < areas[0] < areas[1] <= areas[3]
        assert areas[0] == areas[4]
        terminal.resize(46, 12)
        eventually(lambda: "no picture below 80x24" in "\n".join(terminal.lines) and is_whole(terminal.lines, 46))
        assert terminal.interrupt() == 0
        assert "actions recognised" in "\n".join(terminal.lines)
        assert terminal.picture is None


def test_scores_and_events_of_zones_are_shown_by_their_names() -> None:
    """Each zone has its own scores; those of one camera do not replace each other."""
    view, drawn = LiveView(lambda: "edge-tdn demo", no_picture="no picture"), StringIO()
    for zone, label in (("gate", "up"), ("bed", "still"), ("gate", "down")):
        view.take(TopScores(camera="door", zone=zone, at=MOMENT, scores={label: 0.8}, latency_ms=30))
    view.take(make_event(1).model_copy(update={"zone": "gate"}))
    Console(file=drawn, width=100, height=20).print(view)
    rows = [" ".join(line.strip("│ \n").split()) for line in drawn.getvalue().splitlines()]
    gate, bed = rows.index("door/gate"), rows.index("door/bed")
    assert [rows[gate + 1].split()[0], rows[bed + 1].split()[0]] == ["down", "still"]
    assert any(row.startswith("12:00:00.000 door/gate start left 0.90") for row in rows)


def test_every_zone_has_scores_beside_the_picture_and_its_colour() -> None:
    """In 80x24, where all labels of three zones do not fit: the best ones of each, in the order of the status."""
    colours = {"door/gate": (10, 200, 30)}
    view, drawn = LiveView(lambda: "edge-tdn demo", quarters, colours=colours), StringIO()
    zones = ("whole", "gate", "bed")
    view.take(CameraStatus.model_validate_json(camera_status("door", zones=list(map(zone_status, zones)))))
    for zone in reversed(zones):
        scores = {f"{zone}-{number}": 0.9 / number for number in range(1, 6)}
        view.take(TopScores(camera="door", zone=zone, at=MOMENT, scores=scores, latency_ms=30))
    Console(file=drawn, width=80, height=24, force_terminal=True, color_system="truecolor").print(view)
    text = drawn.getvalue()
    assert all(f"{zone}-{number}" in text for zone in zones for number in (1, 2))
    assert "bed-5" not in text
    assert text.index("door/whole") < text.index("door/gate") < text.index("door/bed")
    assert "\x1b[1;38;2;10;200;30mdoor/gate" in text
    assert "\x1b[1mdoor/bed" in text


@pytest.mark.parametrize("resize", ["stretch", "short_side_centre_crop"])
def test_outlines_are_drawn_where_the_network_sees_them(resize: str) -> None:
    """A dark rectangle in a picture of 160x80: its outline in the network's picture is around what is dark there."""
    spec = InputSpec.model_validate(
        {
            "segments": 8,
            "height": 64,
            "width": 64,
            "resize": resize,
            "short_side": 64 if resize == "short_side_centre_crop" else 0,
            "frame_rate": 15,
            "segment_stride": 4,
        }
    )
    outline = Outline((0.4, 0.25, 0.25, 0.5))
    picture = np.full((80, 160, 3), 255, np.uint8)
    picture[outline.box((80, 160))] = 0
    dark = np.argwhere(Preprocessor(spec)(picture)[..., 0] < 128)[:, ::-1]  # x, y
    corners = seen_corners(outline, (80, 160), spec)
    assert np.abs(corners.min(0) - dark.min(0)).max() <= 1
    assert np.abs(corners.max(0) - dark.max(0)).max() <= 1


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"NO_COLOR": "1"}, "no picture: it needs colours, and NO_COLOR is set; unset it"),
        ({"LC_ALL": "en_US.ISO-8859-1", "PYTHONIOENCODING": "latin-1"}, "no picture: the encoding is "),
    ],
)
def test_a_terminal_that_cannot_show_a_picture_says_what_to_do(
    environment: dict[str, str], reason: str, demo: list[str]
) -> None:
    with Terminal(demo, 80, 24, environment=environment) as terminal:
        eventually(lambda: reason in "\n".join(terminal.lines) and "streaming" in "\n".join(terminal.lines))
        assert terminal.picture is None
        assert terminal.interrupt() == 0


@pytest.mark.parametrize(
    ("columns", "lines", "environment", "reason"),
    [
        (38, 24, {}, "the terminal has 38x24 characters; the live view needs 40x10, and 80x24 with its picture"),
        (80, 9, {}, "the terminal has 80x9 characters"),
        (80, 24, {"TERM": "dumb"}, "TERM is 'dumb'; set it to the terminal's type, such as xterm-256color"),
    ],
)
def test_a_terminal_without_the_view_prints_lines_and_what_to_do(
    columns: int, lines: int, environment: dict[str, str], reason: str, demo: list[str]
) -> None:
    with Terminal(demo, columns, lines, environment=environment) as terminal:
        eventually(lambda: "demo: streaming" in "".join(terminal.lines), describe=lambda: terminal.lines)
        text = "".join(terminal.lines)
        assert re.sub(r"\s", "", f"events as lines: {reason}") in re.sub(r"\s", "", text)
        assert terminal.interrupt() == 0


def test_a_question_that_no_terminal_answers_is_not_waited_for_long(demo: list[str]) -> None:
    """As in a plain pseudo-terminal of another program: the picture is drawn in half blocks."""

    class Mute(Terminal):
        def _answer(self, query: bytes) -> None:
            del query

    with Mute(demo, 80, 24) as terminal:
        until_whole(terminal, 80)
        assert terminal.interrupt() == 0


@pytest.mark.parametrize("height", [96, 97, 7])
def test_sixels_are_the_picture_within_their_cells(height: int) -> None:
    x, y = np.linspace(0, 255, 160), np.linspace(0, 255, height)[:, None]
    picture = np.stack(np.broadcast_arrays(x, y, 255 - x), -1).astype(np.uint8)
    sequence = SixelGraphics(CELL).draw(picture, PicturePlace(3, 5, 16, 4))
    assert sequence.startswith("\x1b[3;5H\x1bP")
    decoded = decode_sixels(sequence.partition("\x1bP")[2].removesuffix("\x1b\\"))
    assert decoded.shape == (78, 160, 3)  # whole bands of six rows, in four rows of 20 pixels
    resized = cv2.resize(picture, (160, 78), interpolation=cv2.INTER_LINEAR)
    assert np.abs(decoded.astype(int) - resized).mean() < 12


def test_kitty_pictures_are_sent_in_chunks_without_loss() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (60, 80, 3), np.uint8)
    program = "import sys; sys.stdout.write(sys.argv[1]); sys.stdout.flush(); sys.stdin.read()"
    sequence = KittyGraphics(CELL).draw(picture, PicturePlace(2, 4, 8, 3))
    assert max(len(part) for part in sequence.split("\x1b_G")) < 4200
    with Terminal([sys.executable, "-c", program, sequence], 40, 12, "kitty") as terminal:
        shown = eventually(lambda: terminal.picture)
        assert np.array_equal(shown.pixels, picture)
        assert (shown.row, shown.column, shown.columns, shown.rows) == (1, 3, 8, 3)


def test_inside_tmux_kitty_is_not_asked_for(demo: list[str], tmp_path: Path) -> None:
    """Because tmux would take the question for a window title; the sixels that newer versions have are found."""

    class Tmux(Terminal):
        received = ""

        def _kitty(self, sequence: str) -> None:
            self.received += sequence

    with Tmux(demo, 80, 24, "sixel", {"TMUX": f"{tmp_path},1,0", "TERM": "tmux-256color"}) as terminal:
        picture, _ = until_whole(terminal, 80)
        assert picture.pixels.shape[1] == picture.columns * CELL[0]
        assert terminal.interrupt() == 0
    assert terminal.received == ""
