"""The lower bound of an agreement."""

import pytest
from edge_tdn_export.limits import bound, lower_bound


@pytest.mark.parametrize(
    ("same", "clips", "expected"),
    [(55, 55, 0.05 ** (1 / 55)), (0, 9, 0.0), (9, 10, 0.6058), (50, 142, 0.2856), (800, 2000, 0.3818)],
)
def test_lower_bound_is_that_of_clopper_and_pearson(same: int, clips: int, expected: float) -> None:
    assert lower_bound(same, clips) == pytest.approx(expected, abs=2e-3)


def test_bound_is_rounded_down() -> None:
    assert bound(55, 55) == "95 %: at least 94.6%"
