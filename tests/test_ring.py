"""The ring: any T consecutive segments are one contiguous view."""

import numpy as np

from edge_tdn.runtime.ensemble import EnsembleRing
from edge_tdn.runtime.ring import FeatureRing


def test_the_window_is_the_last_segments_oldest_first_and_a_view() -> None:
    ring = FeatureRing({"h": (2, 3), "skip": (1,)}, segments=4)
    for n in range(23):
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


def test_a_cleared_ring_has_to_be_filled_again() -> None:
    ring = FeatureRing({"h": (1,)}, segments=3)
    for _ in range(5):
        ring.written()
    ring.clear()
    assert not ring.full
    for _ in range(3):
        ring.written()
    assert ring.full


def test_the_ring_of_an_ensemble_is_full_when_all_are_and_cleared_as_one() -> None:
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
