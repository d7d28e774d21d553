"""The growth of a figure: a line through points, by least squares."""

from collections.abc import Sequence

import numpy as np

from tests.chaos.row import ChaosRow, Skipped

MIN_POINTS = 4


def slope(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Return the growth of y with x and its 95 % error, as if the points were independent."""
    (grows, _), covariance = np.polyfit(x, y, 1, cov=True)
    return float(grows), float(1.96 * covariance[0, 0] ** 0.5)


def growth(what: str, goal: float, unit: str, x: Sequence[float], mb: Sequence[float], note: str) -> ChaosRow | Skipped:
    """Compare the growth of resident memory with `goal`, in `unit`."""
    if len(x) < MIN_POINTS:
        return Skipped(what, f"{len(x)} points make no line")
    grows, error = slope(x, mb)
    figure, note = f"{grows:+.2f} +- {error:.2f} {unit}", f"resident, least squares and its 95 % error {note}"
    if error > goal and grows - error < goal:
        return Skipped(what, f"{figure}: too few points, or too noisy, to compare with {goal:g}; {note}")
    return ChaosRow(what, f"<= + {goal:g} {unit}", figure, grows <= goal, note, {"x": x, "MB": mb})
