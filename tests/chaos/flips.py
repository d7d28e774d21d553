"""One bit of the outbox's files is flipped, anywhere, again and again: each event is whole, or counted as lost."""

import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from edge_tdn.config.tables import OutboxConfig
from edge_tdn.delivery.outbox import checkpoint, disk_reserve
from edge_tdn.delivery.outbox.database import DATABASE
from edge_tdn.delivery.outbox.outbox import Outbox
from tests.chaos.row import Row

CAMERAS, EACH, DELIVERED = ("door", "gate"), 30, 20
HEADER = 100  # bytes of the database, a fifth of all flips
FILES = (*[DATABASE] * 6, *checkpoint.COPIES)


def flips(folder: Path, count: int, seed: int, step: Callable[[str], None]) -> list[Row]:
    whole, dice = folder / "whole", random.Random(seed)
    logging.getLogger("edge_tdn.delivery.outbox.outbox").setLevel(logging.CRITICAL)
    outbox = Outbox(whole, OutboxConfig())
    outbox.put([(camera, n + 1, b"event %d" % n + b" " * 300) for n in range(EACH) for camera in CAMERAS])
    outbox.acknowledge(outbox.after(0, DELIVERED))
    outbox.close()
    wrong, costly = list[str](), 0
    for number in range(count):
        if number % 100 == 0:
            step(f"bit {number} of {count}")
        flipped = folder / "flipped"
        shutil.rmtree(flipped, ignore_errors=True)
        shutil.copytree(whole, flipped, ignore=shutil.ignore_patterns(disk_reserve.NAME))
        file = flipped / dice.choice(FILES)
        content = bytearray(file.read_bytes())
        place = dice.randrange(HEADER if file.name == DATABASE and dice.random() < 0.2 else len(content))
        content[place] ^= 1 << dice.randrange(8)
        file.write_bytes(content)
        try:
            lost = _used(flipped)
        except Exception as error:
            wrong.append(f"{file.name}, byte {place}: {error!r}")
        else:
            costly += lost > 0
    logging.getLogger("edge_tdn.delivery.outbox.outbox").setLevel(logging.NOTSET)
    return [
        Row(
            what=f"{count} single bits flipped",
            goal="no crash; each event kept or counted",
            figure=f"{len(wrong)} wrong",
            ok=not wrong,
            note="; ".join(wrong[:3]) or f"anywhere in outbox.db and its marks, seed {seed}; {costly} cost events",
        )
    ]


def _used(folder: Path) -> int:
    """As a daemon would use it; how many events it says are lost. AssertionError: it does not add up."""
    outbox = Outbox(folder, OutboxConfig())
    try:
        outbox.after(0, 1000)  # damage may show only here
        left = outbox.after(0, 1000)
        assert len(left) + outbox.lost == len(CAMERAS) * EACH - DELIVERED, "miscounted"
        assert all(entry.payload.rstrip() == b"event %d" % (entry.seq - 1) for entry in left), "another event"
        outbox.put([(camera, outbox.last_seq(camera) + 1, b"new") for camera in CAMERAS])
        assert all(outbox.last_seq(camera) > EACH for camera in CAMERAS), "a number comes twice"
        assert len(outbox.after(0, 1000)) == len(left) + len(CAMERAS), "not stored"
        outbox.acknowledge(outbox.after(0, 1000))
        assert (outbox.waiting, outbox.status().state) == (0, "ok"), "not well"
        return outbox.lost
    finally:
        outbox.close()
