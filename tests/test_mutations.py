"""A damaged model folder never serves a wrong answer: every file in it is damaged, 300 times over.

First as disks, cables and editors do it, where the hashes in the manifest tell; then as a forger does it, who makes all
hashes fit again, so that OpenVINO and the self-test have to meet what comes.
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
import torch
from numpy.typing import NDArray

from edge_tdn.errors import ModelError
from edge_tdn.manifest import InputSpec, Model, open_model
from edge_tdn.runtime import open_runtime, scores
from export.convert import Recipe, convert
from tests.test_manifest import rehash
from tests.test_tdn import small

SPEC = InputSpec(segments=8, height=64, width=64, resize="stretch", frame_rate=12.0, segment_stride=3)
FILES = (
    "manifest.json", "labels.txt", "golden.npz", "weights.safetensors",
    "fp32/encoder.xml", "fp32/encoder.bin", "fp32/head.xml", "fp32/head.bin",
)  # fmt: skip
MUTATIONS = 300  # of every file
PRECISIONS = ("fp32", "bf16")
CLIP = np.random.default_rng(9).integers(0, 256, (8, 5, 64, 64, 3), np.uint8)  # not the golden one

Bytes = Callable[[bytearray, np.random.Generator], object]


def _places(raw: bytearray, rng: np.random.Generator) -> tuple[int, int]:
    """Two places in the file, one before the other; near each other more often than not."""
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
    """Two numbers or names, as of labels, shapes and layers."""
    words = sorted(set(re.findall(rb"[A-Za-z0-9_.]+", raw[:400_000]))) or [b""]
    a, b = rng.choice(np.array(words, object), 2)
    raw[:] = raw.replace(a, b, 1) if a else raw


KINDS: tuple[Bytes, ...] = (
    flip_a_bit, change_bytes, change_a_digit, truncate, empty, append, insert_a_space, zero, cut_out, repeat,
    swap_blocks, swap_lines, swap_words,
)  # fmt: skip


def mutations(name: str, folder: Path, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` damaged contents of a file, none like the one before; each with the name of what was done to it."""
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
