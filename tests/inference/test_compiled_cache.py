"""The cache of compiled graphs: a faster start, and never a different result."""

import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from edge_tdn.inference.compiled_cache import CompiledCache, cache_folder, cache_key
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.self_test import scores
from edge_tdn.manifest import Model, shipped_models
from tests.conftest import without_the_processor
from tests.support.waiting import PROGRAM_S

KEY = cache_key({"test": 1})


class WatchedModel(Model):
    """A model that records the names of the files that were read."""

    def __init__(self, model: Model) -> None:
        super().__init__(model.folder, model.manifest, model.sha256, model.labels)
        self.names: set[str] = set()

    def read(self, name: str) -> bytes:
        self.names.add(name)
        return super().read(name)


def start(model: Model, folder: Path | None, threads: int = 1) -> tuple[set[str], np.ndarray]:  # type: ignore[type-arg]
    """Open a runtime; return the files that it read, and the logits of a fixed clip."""
    watched = WatchedModel(model)
    runtime = open_runtime(watched, threads=threads, cache=folder)
    clip = np.random.default_rng(0).integers(0, 256, (8, 5, 96, 96, 3), np.uint8)
    logits = scores(runtime, clip)
    runtime.close()
    return watched.names, logits


def entries(folder: Path) -> list[Path]:
    """Return the entries by size: the encoder's and the head's."""
    return sorted(folder.glob("*.compiled"), key=lambda path: path.stat().st_size)


@pytest.fixture(scope="module")
def filled(motion: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "cache"
    start(motion, folder)
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    """A private copy of the cache after a first start."""
    copy = tmp_path / "cache"
    copy.mkdir(mode=0o700)
    for path in entries(filled):
        (copy / path.name).write_bytes(path.read_bytes())
        (copy / path.name).chmod(0o600)
    return copy


def test_the_second_start_compiles_nothing_and_computes_the_same_logits(motion: Model, folder: Path) -> None:
    compiled, expected = start(motion, None)
    imported, found = start(motion, folder)
    assert {"fp32/encoder.xml", "fp32/head.bin"} < compiled
    assert imported == {"golden.npz"}
    assert np.array_equal(found, expected)


def test_only_the_user_can_read_and_write_the_cache(filled: Path) -> None:
    assert filled.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in filled.iterdir()] == [0o600, 0o600]


@pytest.mark.parametrize("damage", ["bit", "cut", "empty", "junk", "swapped"])
def test_a_damaged_entry_is_compiled_again_with_a_warning(
    damage: str, motion: Model, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small, large = entries(folder)
    whole = large.read_bytes()
    raw = bytearray(whole)
    raw[len(raw) // 2] ^= 1
    content = {"bit": raw, "cut": whole[:-1], "empty": b"", "junk": whole + b"\0", "swapped": small.read_bytes()}
    large.write_bytes(content[damage])
    read, _ = start(motion, folder)
    assert "fp32/head.xml" in read
    assert "fp32/encoder.xml" not in read
    (line,) = without_the_processor(caplog.messages)
    assert "damaged; compiling again" in line
    assert str(large) in line
    assert start(motion, folder)[0] == {"golden.npz"}


def test_an_entry_with_a_flipped_bit_is_never_served(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path)
    cache.offer(KEY, lambda: bytes(range(256)))
    cache.keep()
    (path,) = entries(tmp_path)
    whole = path.read_bytes()
    content = cache.read(KEY)
    assert content is not None
    assert bytes(content) == bytes(range(256))
    chance = random.Random(1)
    for _ in range(300):
        raw = bytearray(whole)
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        path.write_bytes(raw)
        assert cache.read(KEY) is None


def test_an_entry_that_openvino_cannot_load_is_compiled_again(
    motion: Model, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Undamaged and with the right key, as after a change that the key does not cover."""
    _write(folder, entries(folder)[1], b"not a graph" * 100)
    assert "fp32/head.xml" in start(motion, folder)[0]
    assert "compiling again" in caplog.text


def test_an_entry_with_other_weights_fails_the_self_test_and_is_compiled_again(
    motion: Model, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    core = ov.Core()
    weights = np.frombuffer(motion.read("fp32/head.bin"), np.float32).copy()
    weights[np.abs(weights) > 1e-20] *= 1.2  # smaller values are integers: shapes and axes
    other = core.read_model(model=motion.read("fp32/head.xml"), weights=ov.Tensor(weights.view(np.uint8)))
    options = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": "1", "PERFORMANCE_HINT": "LATENCY"}
    blob = core.compile_model(other, "CPU", options).export_model().getvalue()
    _write(folder, entries(folder)[1], blob)
    _, found = start(motion, folder)
    assert "self-test failed" in caplog.text
    assert np.array_equal(found, start(motion, None)[1])
    assert start(motion, folder)[0] == {"golden.npz"}


def _write(folder: Path, entry: Path, blob: bytes) -> None:
    """Replace an entry's graph, with matching hashes."""
    cache = CompiledCache(folder)
    cache.offer(bytes.fromhex(entry.stem), lambda: blob)
    cache.keep()


def test_another_version_or_option_finds_no_entry(motion: Model, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert start(motion, folder, threads=2)[0] != {"golden.npz"}
    monkeypatch.setattr(ov, "get_version", lambda: "2099.1.0")
    assert start(motion, folder)[0] != {"golden.npz"}
    assert len(entries(folder)) == 6


def test_a_model_that_fails_its_self_test_is_not_cached(motion: Model, tmp_path: Path) -> None:
    class WrongModel(Model):
        def read(self, name: str) -> bytes:
            return super().read(name).replace(b"PK", b"XX") if name == "golden.npz" else super().read(name)

    with pytest.raises(Exception, match="self-test failed"):
        open_runtime(WrongModel(motion.folder, motion.manifest, "", motion.labels), threads=1, cache=tmp_path)
    assert not entries(tmp_path)


@pytest.mark.parametrize("which", ["folder", "entry"])
@pytest.mark.parametrize("fault", ["writable", "other user"])
def test_an_entry_that_another_user_could_have_written_is_not_read(
    which: str, fault: str, motion: Model, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder if which == "folder" else entries(folder)[1]
    if fault == "writable":
        path.chmod(0o777)
    elif os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        pytest.skip("giving a file away needs root")
    assert "fp32/head.xml" in start(motion, folder)[0]
    reason = "can be written by others" if fault == "writable" else "belongs to another user"
    assert [reason in line for line in without_the_processor(caplog.messages)] == [True]


def test_a_symbolic_link_is_not_followed(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    entry = entries(folder)[0]
    entry.rename(tmp_path / "elsewhere")
    entry.symlink_to(tmp_path / "elsewhere")
    assert CompiledCache(folder).read(bytes.fromhex(entry.stem)) is None
    assert len(caplog.messages) == 1


def test_a_folder_that_cannot_be_created_causes_one_warning(
    motion: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    start(motion, tmp_path / "file/cache")
    assert [line.startswith("no compiled-model cache") for line in without_the_processor(caplog.messages)] == [True]


def test_a_full_disk_leaves_no_partial_entry(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = CompiledCache(tmp_path / "cache")
    cache.offer(KEY, lambda: bytes(1 << 20))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, before[1]))
    try:
        cache.keep()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "cache").iterdir())
    assert "the next start compiles again" in caplog.text


def test_the_least_recently_used_entry_is_deleted_first(tmp_path: Path) -> None:
    keys = [cache_key({"n": n}) for n in range(4)]
    (tmp_path / "mine.txt").write_bytes(bytes(1000))
    for age, key in enumerate(keys[:3]):
        cache = CompiledCache(tmp_path, max_bytes=350)
        cache.offer(key, lambda: bytes(40))
        cache.keep()
        moment = time.time() - 100 + age
        os.utime(tmp_path / f"{key.hex()}.compiled", (moment, moment))
    assert CompiledCache(tmp_path).read(keys[0]) is not None  # used just now
    cache = CompiledCache(tmp_path, max_bytes=350)
    cache.offer(keys[3], lambda: bytes(40))
    cache.keep()
    left = [key for key in keys if (tmp_path / f"{key.hex()}.compiled").exists()]
    assert left == [keys[0], keys[2], keys[3]]
    assert (tmp_path / "mine.txt").exists()


def test_two_daemons_can_fill_the_cache_at_once(motion: Model, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from edge_tdn.manifest import open_model;"
        "from edge_tdn.inference.open_runtime import open_runtime;"
        "[open_runtime(open_model(Path(sys.argv[1])), threads=1, cache=Path(sys.argv[2])).close() for _ in range(2)]"
    )
    command = [sys.executable, "-c", program, str(shipped_models() / "motion"), str(tmp_path / "cache")]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=PROGRAM_S)
        assert (process.returncode, without_the_processor(errors.splitlines())) == (0, [])
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".compiled"] * 2
    assert start(motion, tmp_path / "cache")[0] == {"golden.npz"}


def test_the_setting_and_the_environment_determine_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", "/var/cache/edge-tdn:/var/cache/other")
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/x/cache")
    assert cache_folder("auto", tmp_path) == Path("/var/cache/edge-tdn")
    monkeypatch.delenv("CACHE_DIRECTORY")
    assert cache_folder("auto", tmp_path) == Path("/home/x/cache/edge-tdn")
    assert cache_folder("off", tmp_path) is None
    assert cache_folder("compiled", tmp_path) == tmp_path / "compiled"
    assert cache_folder("~no-such-user/x", tmp_path) is None
