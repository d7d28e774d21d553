"""The feature ring: any T consecutive segments are one contiguous view."""

import numpy as np
import pytest

from edge_tdn.inference import feature_ring as rings
from edge_tdn.inference.ensemble import EnsembleRing
from edge_tdn.inference.feature_ring import FeatureRing


@pytest.mark.parametrize("twice", [True, False], ids=["memory mapped twice", "memory copied"])
def test_the_window_is_a_view_of_the_last_segments(twice: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not twice:
        monkeypatch.setattr(rings, "_mapped_twice", lambda size: None)
    ring = FeatureRing({"h": (2, 512), "skip": (1024,)}, segments=4)
    for n in range(2 * ring.slots + 7):
        assert ring.full == (n >= 4)
        ring.arrays["h"][ring.slot] = n
        ring.arrays["skip"][ring.slot] = -n
        ring.written()
        if ring.full:
            window = ring.window("h")
            assert window[:, 0, 0].tolist() == [n - 3, n - 2, n - 1, n]
            assert ring.window("skip")[:, 0].tolist() == [3 - n, 2 - n, 1 - n, -n]
            assert np.shares_memory(window, ring.arrays["h"])
            assert window.flags.c_contiguous


def test_a_cleared_ring_is_full_only_after_t_more_segments() -> None:
    ring = FeatureRing({"h": (1,)}, segments=3)
    for _ in range(5):
        ring.written()
    ring.clear()
    assert not ring.full
    for _ in range(3):
        ring.written()
    assert ring.full


def test_an_ensembles_ring_is_full_when_all_its_rings_are() -> None:
    eight, sixteen = (FeatureRing({"h": (1,)}, segments) for segments in (8, 16))
    ring = EnsembleRing([eight, sixteen])
    for _ in range(15):
        eight.written()
        sixteen.written()
    assert eight.full
    assert not ring.full
    sixteen.written()
    assert ring.full
    ring.clear()
    assert not eight.full
    assert not sixteen.full


def test_a_feature_that_fills_whole_pages_takes_the_memory_of_one_window() -> None:
    """Both halves are the same memory: a value that is written to one is in both."""
    ring = FeatureRing({"h": (56, 56, 128)}, segments=8)
    assert ring.slots == 8
    ring.arrays["h"][3] = 5.0
    assert (ring.arrays["h"][11] == 5.0).all()


@pytest.mark.parametrize(
    ("dtype", "stored", "number"),
    [("float32", 1.5, 1.5), ("uint16", 0x3FC0, 1.5), ("uint8", 6, 1.5), ("int8", -6, -1.5)],
)
def test_newest_returns_float32_whatever_the_stored_type(dtype: str, stored: float, number: float) -> None:
    ring = FeatureRing({"h": (2,)}, 3, {"h": dtype}, {"h": 0.25} if dtype.endswith("t8") else {})
    ring.arrays["h"][ring.slot] = stored
    ring.written()
    ring.arrays["h"][ring.slot] = 0
    assert ring.newest()["h"].tolist() == [number, number]
    assert ring.newest()["h"].dtype == np.float32
