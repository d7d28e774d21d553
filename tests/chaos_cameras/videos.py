"""Damaged videos, played to their end or their error, without a crash and without a hang.

Files of several containers, codecs and shapes are damaged in seeded ways: bits flipped, cut off, parts left out,
repeated or overwritten with zeros. A process of its own plays them, so that a crash is counted.

`python -m tests.chaos_cameras.videos [COUNT]` runs this part alone.
"""

import itertools
import queue
import random
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from edge_tdn.capture.video_file import read_file
from edge_tdn.errors import SourceError
from edge_tdn.media import gstreamer
from tests.chaos.row import ChaosRow, ChaosRows

MAX_PLAY_S = 5.0  # for a video of a second; longer is a hang
START_S = 240.0  # until the player is ready, on a busy host
ENCODE_S = 240  # until a video is encoded
DECODERS = ("gstreamer", "opencv")
PLAYER = ("-m", "tests.chaos_cameras.videos")
RAW = "videotestsrc num-buffers={frames} ! video/x-raw,width={width},height={height},framerate=30/1"
SHAPES = {  # frames, width, height
    "usual": (30, 160, 120),
    "odd": (12, 321, 241),
    "one": (1, 64, 48),
    "narrow": (12, 16, 256),
}
KINDS = {
    "h264.mp4": "x264enc ! mp4mux",
    "h264-faststart.mp4": "x264enc ! mp4mux faststart=true",
    "h264.mkv": "x264enc ! matroskamux",
    "h264.ts": "x264enc ! mpegtsmux",
    "h264.flv": "x264enc ! h264parse ! flvmux",
    "h264.h264": "x264enc ! video/x-h264,stream-format=byte-stream",
    "h265.mkv": "x265enc option-string=log-level=none ! h265parse ! matroskamux",
    "mpeg4.avi": "avenc_mpeg4 ! avimux",
    "mjpeg.avi": "jpegenc ! avimux",
    "mjpeg.mov": "jpegenc ! qtmux",
    "vp8.webm": "vp8enc deadline=1 ! webmmux",
    "vp9.webm": "vp9enc deadline=1 cpu-used=8 ! webmmux",
    "raw.avi": "videoconvert ! video/x-raw,format=I420 ! avimux",
}


def videos(folder: Path, count: int, seed: int, step: Callable[[str], None]) -> ChaosRows:
    """Play `count` damaged videos with each decoder."""
    damaged = list(make(folder, count, seed))
    rows: list[ChaosRow] = []
    for decoder in DECODERS:
        step(f"{count} damaged videos, {decoder}")
        outcomes = play(damaged, decoder)
        figure = ", ".join(f"{number} {what}" for what, number in sorted(Counter(map(kind, outcomes.values())).items()))
        bad = [f"{path.name} {what}" for path, what in outcomes.items() if kind(what) in ("crash", "hang")]
        goal = f"0 crashes, 0 longer than {MAX_PLAY_S:.0f} s"
        rows.append(ChaosRow(f"{count} damaged videos, {decoder}", goal, figure, not bad, "; ".join(bad[:5])))
    return rows


def kind(outcome: str) -> str:
    """Return the first word of an outcome of `play`."""
    return outcome.partition(":")[0]


def make(folder: Path, count: int, seed: int) -> Iterator[Path]:
    """Encode videos of every kind and shape that this machine can, and yield damaged copies of each in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = [path for path in itertools.starmap(_encoded, ((folder, k, s) for k in KINDS for s in SHAPES)) if path]
    for number, path in zip(range(count), itertools.cycle(whole), strict=False):
        dice = random.Random(f"{seed} {number}")
        damage = dice.choice(DAMAGES)
        damaged = folder / f"{number:03d}-{damage.__name__}-{path.name}"
        damaged.write_bytes(damage(dice, path.read_bytes()))
        yield damaged


def play(
    paths: Sequence[Path], decoder: str, player: Sequence[str] = PLAYER, max_s: float = MAX_PLAY_S
) -> dict[Path, str]:
    """Return path -> `played`, `refused: reason`, `crash: signal` or `hang`.

    `player`: arguments of Python for a program that prints `ready`, reads paths and prints a line for each.
    """
    outcomes: dict[Path, str] = {}
    left = list(paths)
    while left:
        command = [sys.executable, *player, "--play", decoder]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdin
            assert process.stdout
            lines: queue.Queue[str] = queue.Queue()
            threading.Thread(target=_listen, args=(process.stdout, lines), daemon=True).start()
            try:
                lines.get(timeout=START_S)
                while left:
                    process.stdin.write(f"{left[0]}\n")
                    process.stdin.flush()
                    outcome = lines.get(timeout=max_s)
                    path = left.pop(0)
                    outcomes[path] = outcome or f"crash: {process.wait(START_S)}"
                    if not outcome:
                        break
            except queue.Empty:
                outcomes[left.pop(0)] = "hang"
            process.kill()
    return outcomes


def _listen(stdout: IO[str], lines: queue.Queue[str]) -> None:
    for line in stdout:
        lines.put(line.strip())
    lines.put("")


def _player(decoder: str) -> None:
    """Play the files whose paths are read from stdin, and print the outcome of each."""
    _print("ready")
    for line in sys.stdin:
        try:
            pictures = [frame.picture.mean() for frame in read_file(Path(line.strip()), decoder)]  # type: ignore[arg-type]
            _print(f"played: {len(pictures)}")
        except SourceError as error:
            _print(f"refused: {error}".replace("\n", " "))


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _encoded(folder: Path, kind: str, shape: str) -> Path | None:
    Gst, _ = gstreamer.load()
    frames, width, height = SHAPES[shape]
    path = folder / f"{shape}-{kind}"
    raw = RAW.format(frames=frames, width=width, height=height)
    try:
        pipeline = Gst.parse_launch(f"{raw} ! videoconvert ! {KINDS[kind]} ! filesink name=file")
    except Exception:  # GLib.Error: an encoder is not installed
        return None
    pipeline.get_by_name("file").set_property("location", str(path))
    pipeline.set_state(Gst.State.PLAYING)
    message = pipeline.get_bus().timed_pop_filtered(ENCODE_S * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    done = message and message.type == Gst.MessageType.EOS and path.stat().st_size
    return path if done else None  # some encoders refuse odd sizes


def flipped(dice: random.Random, data: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(max(1, int(len(data) * 8 * 10 ** dice.uniform(-5, -2)))):
        damaged[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(damaged)


def flipped_head(dice: random.Random, data: bytes) -> bytes:
    """Flip bits where containers describe their content."""
    head = min(len(data), 1024)
    return flipped(dice, data[:head]) + data[head:]


def cut_off(dice: random.Random, data: bytes) -> bytes:
    return data[: dice.randrange(1, len(data))]


def left_out(dice: random.Random, data: bytes) -> bytes:
    first, last = _part(dice, data)
    return data[:first] + data[last:] or b"\0"


def repeated(dice: random.Random, data: bytes) -> bytes:
    first, last = _part(dice, data)
    return data[:last] + data[first:]


def zeroed(dice: random.Random, data: bytes) -> bytes:
    first, last = _part(dice, data)
    return data[:first] + bytes(last - first) + data[last:]


def _part(dice: random.Random, data: bytes) -> tuple[int, int]:
    first = dice.randrange(len(data))
    return first, min(len(data), first + dice.randrange(1, 1 + len(data) // 4))


DAMAGES = (flipped, flipped, flipped_head, cut_off, left_out, repeated, zeroed)


def main() -> int:
    if sys.argv[1:2] == ["--play"]:
        _player(sys.argv[2])
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        rows = videos(Path(scratch), int(sys.argv[1]) if len(sys.argv) > 1 else 500, 1, _print)
    for row in rows:
        _print(str(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
