"""The outbox's checkpoint: two copies, written in turn."""

from pathlib import Path

from edge_tdn.delivery.outbox import checkpoint
from edge_tdn.delivery.outbox.checkpoint import OutboxCheckpoint


def test_the_newer_copy_is_read(tmp_path: Path) -> None:
    assert checkpoint.read(tmp_path) == OutboxCheckpoint()
    for turn in range(1, 4):
        assert checkpoint.write(tmp_path, OutboxCheckpoint(turn=turn, waiting=10 * turn, last={"door": turn}))
        assert checkpoint.read(tmp_path) == OutboxCheckpoint(turn=turn, waiting=10 * turn, last={"door": turn})


def test_a_torn_write_leaves_the_other_copy(tmp_path: Path) -> None:
    for turn in (1, 2):
        checkpoint.write(tmp_path, OutboxCheckpoint(turn=turn))
    newest = tmp_path / checkpoint.COPIES[0]
    newest.write_bytes(newest.read_bytes()[:20])
    assert checkpoint.read(tmp_path).turn == 1


def test_a_shorter_checkpoint_over_a_longer_one_is_whole(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, OutboxCheckpoint(turn=2, last={"a long name of a camera": 1}))
    checkpoint.write(tmp_path, OutboxCheckpoint(turn=4, last={}))
    assert checkpoint.read(tmp_path) == OutboxCheckpoint(turn=4)


def test_a_write_that_the_disk_refuses_returns_false(tmp_path: Path) -> None:
    assert not checkpoint.write(tmp_path / "missing", OutboxCheckpoint(turn=1))
