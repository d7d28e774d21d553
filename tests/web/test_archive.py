"""The archive of clips, as other programs read it."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from edge_tdn.web.archive import tar_chunks


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    for place, content in {
        "dataset.toml": b"source = '(.+)-[0-9]+'\n",
        "door open/20260301T120000Z-1.mp4": b"0123456789",
        "door open/20260301T120000Z-2.mp4": bytes(200_000),
        "Tür zu/20260301T130000Z-1.mp4": b"",
    }.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(content)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of the archive of a folder, in their order."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(tar_chunks(folder)))) as archive:
        return {one.name: file.read() for one in archive.getmembers() if (file := archive.extractfile(one))}


def test_an_archive_has_the_description_and_the_clips_of_each_class(clips: Path) -> None:
    found = contents(clips)
    assert list(found) == [
        "clips/dataset.toml",
        "clips/Tür zu/20260301T130000Z-1.mp4",
        "clips/door open/20260301T120000Z-1.mp4",
        "clips/door open/20260301T120000Z-2.mp4",
    ]
    assert found["clips/door open/20260301T120000Z-1.mp4"] == b"0123456789"
    assert found["clips/door open/20260301T120000Z-2.mp4"] == bytes(200_000)


def test_an_archive_is_unpacked_as_it_was(clips: Path, tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(b"".join(tar_chunks(clips)))) as archive:
        archive.extractall(tmp_path / "elsewhere", filter="data")
    unpacked = tmp_path / "elsewhere" / "clips"
    files = [path.relative_to(clips) for path in sorted(clips.rglob("*")) if path.is_file()]
    assert len(files) == 4
    for place in files:
        assert (unpacked / place).read_bytes() == (clips / place).read_bytes()
        assert int((unpacked / place).stat().st_mtime) == int((clips / place).stat().st_mtime)


def test_an_archive_has_nothing_hidden_and_follows_no_link(clips: Path, tmp_path: Path) -> None:
    """Neither clips that are being written, nor what is reserved, nor files elsewhere."""
    expected = contents(clips)
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"secret")
    (clips / "door open" / ".20260301T140000Z-1.mp4.part").write_bytes(b"unfinished")
    (clips / ".trash").mkdir()
    (clips / ".trash" / "20260301T120000Z-1.mp4").write_bytes(b"hidden")
    (clips / "door open" / "linked.mp4").symlink_to(secret)
    (clips / "linked").symlink_to(tmp_path)
    os.mkfifo(clips / "door open" / "pipe.mp4")
    (clips / "notes.txt").write_text("of no class")
    assert contents(clips) == expected


def test_a_description_that_is_a_link_is_left_out(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (clips / "dataset.toml").unlink()
    (clips / "dataset.toml").symlink_to(tmp_path / "secret")
    assert "clips/dataset.toml" not in contents(clips)
    assert len(contents(clips)) == 3


def test_a_clip_that_is_deleted_meanwhile_is_left_out(clips: Path) -> None:
    chunks = tar_chunks(clips)
    first = next(chunks)
    (clips / "Tür zu" / "20260301T130000Z-1.mp4").unlink()
    (clips / "Tür zu").rmdir()
    with tarfile.open(fileobj=io.BytesIO(first + b"".join(chunks))) as archive:
        assert [name.rpartition("/")[2] for name in archive.getnames()] == [
            "dataset.toml",
            "20260301T120000Z-1.mp4",
            "20260301T120000Z-2.mp4",
        ]


def test_a_clip_that_becomes_shorter_meanwhile_ends_the_archive(clips: Path) -> None:
    """Who unpacks an archive that is cut off sees that; other bytes in place of the clip would not be seen."""
    chunks = tar_chunks(clips)
    long = clips / "door open" / "20260301T120000Z-2.mp4"
    received = b""
    while b"T120000Z-2.mp4" not in received:
        received += next(chunks)
    os.truncate(long, 10)
    with pytest.raises(OSError, match=r"door open/20260301T120000Z-2\.mp4: shorter than it was"):
        b"".join(chunks)


def test_pieces_are_small(clips: Path) -> None:
    assert max(map(len, tar_chunks(clips))) <= 65_536
