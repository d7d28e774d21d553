"""A damaged model folder never serves a wrong answer: every file in it is damaged in 300 ways.

First as disks, cables and editors do it, which the hashes in the manifest reveal; then as a forger does it, who renews
all hashes, so that only OpenVINO and the self-test are left to notice. That part runs in a process of its own, because
some graphs crash OpenVINO.
"""

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_tdn.errors import ModelError
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.self_test import SELF_TEST_LIMIT, scores
from edge_tdn.manifest import Model, open_model
from tests.conftest import HAS_BF16, ROOT
from tests.support.exports import export
from tests.support.model_folders import rehash
from tests.support.networks import small_network
from tests.support.waiting import PROGRAM_S

pytestmark = pytest.mark.slow
FILES = (
    "manifest.json",
    "labels.txt",
    "golden.npz",
    "weights.safetensors",
    "fp32/encoder.xml",
    "fp32/encoder.bin",
    "fp32/head.xml",
    "fp32/head.bin",
)
MUTATIONS = 300  # of every file
FORGERIES = {
    "fp32/encoder.xml": 50,
    "fp32/head.xml": 50,
    "fp32/encoder.bin": 25,
    "fp32/head.bin": 25,
    "golden.npz": 25,
    "labels.txt": 25,
    "weights.safetensors": 3,
}
PRECISIONS = ("fp32", "bf16")
SERVED = PRECISIONS if HAS_BF16 else PRECISIONS[:1]  # the precisions that this processor has
LIMIT = SELF_TEST_LIMIT["fp32"]
CLIP = np.random.default_rng(9).integers(0, 256, (8, 5, 64, 64, 3), np.uint8)  # not the golden one

Damage = Callable[[bytearray, np.random.Generator], object]


def _places(raw: bytearray, rng: np.random.Generator) -> tuple[int, int]:
    """Return two positions in the file, in order, usually near each other."""
    first = int(rng.integers(len(raw)))
    return first, min(len(raw), first + int(rng.choice([1, 8, 100, 10_000])))


def flip_a_bit(raw: bytearray, rng: np.random.Generator) -> None:
    raw[rng.integers(len(raw))] ^= 1 << int(rng.integers(8))


def change_bytes(raw: bytearray, rng: np.random.Generator) -> None:
    for place in rng.integers(0, len(raw), rng.integers(1, 9)):
        raw[place] = rng.integers(256)


def change_a_digit(raw: bytearray, rng: np.random.Generator) -> None:
    digits = [place for place, byte in enumerate(raw[:400_000]) if chr(byte).isdigit()] or [0]
    raw[rng.choice(digits)] = ord(str(rng.integers(10)))


def truncate(raw: bytearray, rng: np.random.Generator) -> None:
    del raw[rng.integers(len(raw)) :]


def empty(raw: bytearray, rng: np.random.Generator) -> None:
    raw.clear()


def append(raw: bytearray, rng: np.random.Generator) -> None:
    raw += rng.bytes(int(rng.choice([1, 100])))


def insert_a_space(raw: bytearray, rng: np.random.Generator) -> None:
    raw.insert(rng.integers(len(raw)), ord(" "))


def zero(raw: bytearray, rng: np.random.Generator) -> None:
    first, last = _places(raw, rng)
    raw[first:last] = bytes(last - first)


def cut_out(raw: bytearray, rng: np.random.Generator) -> None:
    first, last = _places(raw, rng)
    del raw[first:last]


def repeat(raw: bytearray, rng: np.random.Generator) -> None:
    first, last = _places(raw, rng)
    raw[first:first] = raw[first:last]


def swap_blocks(raw: bytearray, rng: np.random.Generator) -> None:
    a, b = sorted(rng.integers(0, len(raw), 2))
    size = min(int(rng.choice([1, 16, 4096])), b - a, len(raw) - b)
    raw[a : a + size], raw[b : b + size] = raw[b : b + size], raw[a : a + size]


def swap_lines(raw: bytearray, rng: np.random.Generator) -> None:
    lines = raw.split(b"\n")
    a, b = rng.integers(0, len(lines), 2)
    lines[a], lines[b] = lines[b], lines[a]
    raw[:] = b"\n".join(lines)


def swap_words(raw: bytearray, rng: np.random.Generator) -> None:
    """Swap two numbers or names, as of labels, shapes and layers."""
    words = sorted(set(re.findall(rb"[A-Za-z0-9_.]+", raw[:400_000]))) or [b""]
    a, b = rng.choice(np.array(words, object), 2)
    raw[:] = raw.replace(a, b, 1) if a else raw


def exaggerate(raw: bytearray, rng: np.random.Generator) -> None:
    """Replace a number in an attribute or a shape by one that no graph should have."""
    numbers = list(re.finditer(rb'(?<=[">, ])-?[0-9]+(?=["<, ])', bytes(raw[:400_000])))
    if numbers:
        found = numbers[rng.integers(len(numbers))]
        raw[found.start() : found.end()] = (b"0", b"-1", b"65536", b"4294967297", b"1e9", b"nan")[rng.integers(6)]


KINDS: tuple[Damage, ...] = (
    flip_a_bit,
    change_bytes,
    change_a_digit,
    truncate,
    empty,
    append,
    insert_a_space,
    zero,
    cut_out,
    repeat,
    swap_blocks,
    swap_lines,
    swap_words,
    exaggerate,
)


def mutations(name: str, folder: Path, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield `count` damaged contents of a file, each after the name of the damage."""
    whole, rng = (folder / name).read_bytes(), np.random.default_rng([seed, FILES.index(name)])
    others = [(folder / other).read_bytes() for other in FILES if other != name]
    while count:
        raw = bytearray(whole)
        kind = int(rng.integers(len(KINDS) + 1))
        if kind < len(KINDS):
            KINDS[kind](raw, rng)
        else:
            raw[:] = others[rng.integers(len(others))]
        if raw != whole:
            yield KINDS[kind].__name__ if kind < len(KINDS) else "another file", bytes(raw)
            count -= 1


@pytest.fixture(scope="module")
def whole(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The undamaged folder."""
    network = small_network(width=0.125, classes=2)
    folder = tmp_path_factory.mktemp("mutations") / "model"
    export(network, folder, labels=("one", "two"), background=("one",), precisions=PRECISIONS)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")} == set(FILES)
    return folder


def answer(model: Model, precision: str) -> NDArray[np.float32]:
    """Return the logits that the model serves for a clip that is not the golden one."""
    runtime = open_runtime(model, precision, threads=1)
    logits = scores(runtime, CLIP)
    runtime.close()
    return logits


@pytest.fixture(scope="module")
def answers(whole: Path) -> dict[str, NDArray[np.float32]]:
    found = {precision: answer(open_model(whole), precision) for precision in SERVED}
    assert not HAS_BF16 or not np.array_equal(found["fp32"], found["bf16"])
    return found


@pytest.mark.parametrize("name", FILES)
def test_no_damage_serves_a_wrong_answer(
    name: str,
    whole: Path,
    answers: dict[str, NDArray[np.float32]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every damaged folder is refused with a ModelError that names it."""
    folder = Path(shutil.copytree(whole, tmp_path / "model"))
    original, refused, wrong = open_model(whole), 0, []
    for number, (kind, raw) in enumerate(mutations(name, whole, MUTATIONS, seed=1)):
        (folder / name).write_bytes(raw)
        precision = SERVED[number % len(SERVED)]
        try:
            model = open_model(folder)
            logits = answer(model, precision)
        except ModelError as error:
            refused += str(folder) in str(error)
            continue
        same = model.labels == original.labels and model.manifest.input == original.manifest.input
        if not (same and np.array_equal(logits, answers[precision])):
            wrong.append((number, kind))
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {MUTATIONS} mutations, {refused} refused, {len(wrong)} wrong answers served ")
    assert wrong == []
    assert refused == MUTATIONS


def forge(whole: Path, scratch: Path, begin: int) -> None:
    """Try every forgery from number `begin` on; print number, file, kind and outcome. Runs in a process of its own."""
    folder = Path(shutil.copytree(whole, scratch / f"from-{begin}"))
    manifest, original = (whole / "manifest.json").read_bytes(), open_model(whole)
    expected = answer(original, "fp32")
    with np.load(whole / "golden.npz") as golden:
        clip, logits = golden["clip"], golden["logits"]
    number = -1
    for name, count in FORGERIES.items():
        for kind, raw in mutations(name, whole, count, seed=2):
            number += 1
            if number < begin:
                continue
            (folder / "manifest.json").write_bytes(manifest)
            (folder / name).write_bytes(raw)
            rehash(folder, name)
            sys.stdout.write(f"\n{number}\t{name}\t{kind}\t")
            sys.stdout.flush()
            try:
                model = open_model(folder)
                runtime = open_runtime(model, threads=1)
            except ModelError:
                sys.stdout.write("refused")
                continue
            got, of_golden = scores(runtime, CLIP), scores(runtime, clip)
            runtime.close()
            if name.startswith("fp32/"):
                fits = (
                    of_golden.shape == logits.shape and np.abs(of_golden - logits).max() <= LIMIT * np.abs(logits).max()
                )
            else:  # the graphs are unchanged
                fits = np.array_equal(got, expected)
            if name == "labels.txt":
                fits = fits and model.labels == tuple(
                    line.strip() for line in raw.decode("utf-8-sig").strip().split("\n")
                )
            sys.stdout.write("served" if fits else f"WRONG: {got}, {of_golden}, {model.labels}")
        shutil.copyfile(whole / name, folder / name)


@pytest.fixture(scope="module")
def outcomes(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str, str]]:
    """File, kind and outcome of every forgery. If one ends the process, another one continues with the next."""
    scratch, found = tmp_path_factory.mktemp("forged"), []
    while len(found) < sum(FORGERIES.values()):
        arguments = f"Path({str(whole)!r}), Path({str(scratch)!r}), {len(found)}"
        program = f"from tests.test_damaged_models import *; forge({arguments})"
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=PROGRAM_S
        )
        lines = [line.split("\t") for line in done.stdout.splitlines() if line]
        assert lines, done.stderr
        found += [(name, kind, outcome or f"ended by {done.returncode}") for _, name, kind, outcome in lines]
        assert done.returncode == 0 or found[-1][2] == f"ended by {done.returncode}", done.stderr
        assert done.returncode <= 0, done.stderr  # an exception other than ModelError
    return found


@pytest.mark.parametrize("name", FORGERIES)
def test_no_forgery_serves_beyond_the_self_test_or_ends_the_process(
    name: str, outcomes: list[tuple[str, str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """All hashes match: a graph that passes the self-test is as close to PyTorch as its limit requires."""
    counts = Counter(outcome for file, _, outcome in outcomes if file == name)
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {FORGERIES[name]} forgeries, {dict(counts)} ")
    assert counts.total() == FORGERIES[name]
    assert set(counts) <= {"refused", "served"}


def test_a_graph_that_crashes_openvino_serves_nothing(whole: Path, tmp_path: Path) -> None:
    """With such a padding OpenVINO 2026.4 writes beyond its memory. The process ends, in the self-test at the latest.

    Only a forger gets this far; see `test_no_damage_serves_a_wrong_answer`.
    """
    folder = Path(shutil.copytree(whole, tmp_path / "model"))
    path = folder / "fp32/encoder.xml"
    text = path.read_text()
    assert 'pads_begin="0, 0, 0, 0"' in text
    path.write_text(text.replace('pads_begin="0, 0, 0, 0"', f'pads_begin="0, 0, 0, {2**63 - 1}"', 1))
    rehash(folder, "fp32/encoder.xml")
    program = (
        "import sys; from pathlib import Path; from edge_tdn.manifest import open_model; "
        "from edge_tdn.inference.open_runtime import open_runtime; "
        "open_runtime(open_model(Path(sys.argv[1]))); print('served')"
    )
    done = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, timeout=PROGRAM_S)
    assert done.returncode != 0
    assert "served" not in done.stdout
