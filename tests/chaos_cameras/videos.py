"""Damaged videos, played to their end or their error: no crash, and nobody waits.

Files of several containers, codecs and shapes are damaged in seeded ways: bits flipped, cut off, parts left out, put in
twice or emptied. A process of its own plays them, so that a crash is seen and counted.

`python -m tests.chaos_cameras.videos [COUNT]` is this part alone.
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
from tests.chaos.row import Row, Rows

HANG_S = 5.0  # longer than so long no video may take that lasts a second
START_S = 60.0  # until the player is there
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


def videos(folder: Path, count: int, seed: int, step: Callable[[str], None]) -> Rows:
    """So many damaged videos before each decoder."""
    damaged = list(make(folder, count, seed))
    rows: list[Row] = []
    for decoder in DECODERS:
        step(f"{count} damaged videos, {decoder}")
        outcomes = play(damaged, decoder)
        told = ", ".join(f"{number} {what}" for what, number in sorted(Counter(map(kind, outcomes.values())).items()))
        bad = [f"{path.name} {what}" for path, what in outcomes.items() if kind(what) in ("crash", "hang")]
        goal = f"0 crashes, 0 longer than {HANG_S:.0f} s"
        rows.append(Row(f"{count} damaged videos, {decoder}", goal, told, not bad, "; ".join(bad[:5])))
    return rows


def kind(outcome: str) -> str:
    return outcome.partition(":")[0]


def make(folder: Path, count: int, seed: int) -> Iterator[Path]:
    """Whole videos of every kind and shape, where this machine can encode them, and of each in turn a damaged copy."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = [path for path in itertools.starmap(_encoded, ((folder, k, s) for k in KINDS for s in SHAPES)) if path]
    for number, path in zip(range(count), itertools.cycle(whole), strict=False):
        random_ = random.Random(f"{seed} {number}")
        damage = random_.choice(DAMAGES)
        damaged = folder / f"{number:03d}-{damage.__name__}-{path.name}"
        damaged.write_bytes(damage(random_, path.read_bytes()))
        yield damaged


def play(paths: Sequence[Path], decoder: str) -> dict[Path, str]:
    """Path -> `played`, `refused: why`, `crash: signal` or `hang`."""
    outcomes: dict[Path, str] = {}
    left = list(paths)
    while left:
        command = [sys.executable, *PLAYER, "--play", decoder]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as player:
            assert player.stdin
            assert player.stdout
            lines: queue.Queue[str] = queue.Queue()
            threading.Thread(target=_listen, args=(player.stdout, lines), daemon=True).start()
            try:
                lines.get(timeout=START_S)
                while left:
                    player.stdin.write(f"{left[0]}\n")
                    player.stdin.flush()
                    outcome = lines.get(timeout=HANG_S)
                    path = left.pop(0)
                    outcomes[path] = outcome or f"crash: {player.wait(10)}"
                    if not outcome:
                        break
            except queue.Empty:
                outcomes[left.pop(0)] = "hang"
            player.kill()
    return outcomes


def _listen(stdout: IO[str], lines: queue.Queue[str]) -> None:
    for line in stdout:
        lines.put(line.strip())
    lines.put("")


def _player(decoder: str) -> None:
    """Plays what it reads the names of, and says what came of it."""
    _say("ready")
    for line in sys.stdin:
        try:
            pictures = [frame.picture.mean() for frame in read_file(Path(line.strip()), decoder)]  # type: ignore[arg-type]
            _say(f"played: {len(pictures)}")
        except SourceError as error:
            _say(f"refused: {error}".replace("\n", " "))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _encoded(folder: Path, kind: str, shape: str) -> Path | None:
    Gst, _ = gstreamer.load()
    frames, width, height = SHAPES[shape]
    path = folder / f"{shape}-{kind}"
    raw = RAW.format(frames=frames, width=width, height=height)
    try:
        pipeline = Gst.parse_launch(f"{raw} ! videoconvert ! {KINDS[kind]} ! filesink name=file")
    except Exception:  # GLib.Error: an encoder that is not here
        return None
    pipeline.get_by_name("file").set_property("location", str(path))
    pipeline.set_state(Gst.State.PLAYING)
    message = pipeline.get_bus().timed_pop_filtered(20 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    return path if message and message.type == Gst.MessageType.EOS and path.stat().st_size else None  # its odd sizes


def flipped(random: random.Random, data: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(max(1, int(len(data) * 8 * 10 ** random.uniform(-5, -2)))):
        damaged[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(damaged)


def flipped_head(random: random.Random, data: bytes) -> bytes:
    """Where containers say what follows."""
    head = min(len(data), 1024)
    return flipped(random, data[:head]) + data[head:]


def cut_off(random: random.Random, data: bytes) -> bytes:
    return data[: random.randrange(1, len(data))]


def left_out(random: random.Random, data: bytes) -> bytes:
    first, last = _part(random, data)
    return data[:first] + data[last:] or b"\0"


def twice(random: random.Random, data: bytes) -> bytes:
    first, last = _part(random, data)
    return data[:last] + data[first:]


def emptied(random: random.Random, data: bytes) -> bytes:
    first, last = _part(random, data)
    return data[:first] + bytes(last - first) + data[last:]


def _part(random: random.Random, data: bytes) -> tuple[int, int]:
    first = random.randrange(len(data))
    return first, min(len(data), first + random.randrange(1, 1 + len(data) // 4))


DAMAGES = (flipped, flipped, flipped_head, cut_off, left_out, twice, emptied)


def main() -> int:
    if sys.argv[1:2] == ["--play"]:
        _player(sys.argv[2])
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        rows = videos(Path(scratch), int(sys.argv[1]) if len(sys.argv) > 1 else 500, 1, _say)
    for each in rows:
        _say(str(each))
    return 0


if __name__ == "__main__":
    sys.exit(main())
