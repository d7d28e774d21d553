"""Single bits flipped anywhere in the outbox's files, again and again: each event is whole, or counted as lost."""

import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from edge_tdn.config.tables import OutboxConfig
from edge_tdn.delivery.outbox import checkpoint, disk_reserve
from edge_tdn.delivery.outbox.database import DATABASE
from edge_tdn.delivery.outbox.outbox import Outbox
from tests.chaos.row import ChaosRow

CAMERAS, EVENTS_PER_CAMERA, DELIVERED = ("door", "gate"), 30, 20
HEADER_BYTES = 100  # of the database, a fifth of all flips
FILES = (*[DATABASE] * 6, *checkpoint.COPIES)
LOGGER = logging.getLogger("edge_tdn.delivery.outbox")


def flips(folder: Path, count: int, seed: int, step: Callable[[str], None]) -> list[ChaosRow]:
    """Flip `count` bits, each in a fresh copy; `step` shows the progress."""
    whole, random_ = folder / "whole", random.Random(seed)
    LOGGER.setLevel(logging.CRITICAL)
    outbox = Outbox(whole, OutboxConfig())
    numbers = range(EVENTS_PER_CAMERA)
    outbox.put([(camera, n + 1, b"event %d" % n + b" " * 300) for n in numbers for camera in CAMERAS])
    outbox.acknowledge(outbox.after(0, DELIVERED))
    outbox.close()
    wrong, costly = list[str](), 0
    for number in range(count):
        if number % 100 == 0:
            step(f"bit {number} of {count}")
        flipped = folder / "flipped"
        shutil.rmtree(flipped, ignore_errors=True)
        shutil.copytree(whole, flipped, ignore=shutil.ignore_patterns(disk_reserve.NAME))
        file = flipped / random_.choice(FILES)
        content = bytearray(file.read_bytes())
        in_header = file.name == DATABASE and random_.random() < 0.2
        place = random_.randrange(HEADER_BYTES if in_header else len(content))
        content[place] ^= 1 << random_.randrange(8)
        file.write_bytes(content)
        try:
            lost = _use(flipped)
        except Exception as error:
            wrong.append(f"{file.name}, byte {place}: {error!r}")
        else:
            costly += lost > 0
    LOGGER.setLevel(logging.NOTSET)
    return [
        ChaosRow(
            what=f"{count} single bits flipped",
            goal="no crash; each event kept or counted",
            figure=f"{len(wrong)} wrong",
            ok=not wrong,
            note="; ".join(wrong[:3])
            or f"anywhere in outbox.db and its checkpoints, seed {seed}; {costly} cost events",
        )
    ]


def _use(folder: Path) -> int:
    """Use the outbox as a daemon does, and return its number of lost events; AssertionError if events are missing."""
    outbox = Outbox(folder, OutboxConfig())
    try:
        outbox.after(0, 1000)  # damage may show only here
        left = outbox.after(0, 1000)
        assert len(left) + outbox.lost == len(CAMERAS) * EVENTS_PER_CAMERA - DELIVERED, "miscounted"
        assert all(entry.payload.rstrip() == b"event %d" % (entry.seq - 1) for entry in left), "another event"
        outbox.put([(camera, outbox.last_seq(camera) + 1, b"new") for camera in CAMERAS])
        assert all(outbox.last_seq(camera) > EVENTS_PER_CAMERA for camera in CAMERAS), "a number was given twice"
        assert len(outbox.after(0, 1000)) == len(left) + len(CAMERAS), "not stored"
        outbox.acknowledge(outbox.after(0, 1000))
        assert (outbox.waiting, outbox.status().state) == (0, "ok"), "not recovered"
        return outbox.lost
    finally:
        outbox.close()
