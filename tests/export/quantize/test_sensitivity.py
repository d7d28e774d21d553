"""The search for exceptions: as few operators as keep the limits, with few trials."""

from collections.abc import Sequence

from edge_tdn_export.quantize.operators import CONVOLUTION, Operator
from edge_tdn_export.quantize.sensitivity import MAX_DROPS, fewest_exceptions
from hypothesis import given
from hypothesis import strategies as st


@given(st.data())
def test_fewest_exceptions_keep_the_limits_and_drop_what_is_not_needed(data: st.DataObject) -> None:
    """The result keeps the limits, ends with the last needed operator, and has no droppable one among the last."""
    order = [Operator((0, "head"), f"res{n}", CONVOLUTION, ()) for n in range(data.draw(st.integers(1, 30)))]
    needed = set(data.draw(st.lists(st.sampled_from(order), min_size=1)))
    trials: list[frozenset[Operator]] = []

    def keep_limits(chosen: Sequence[Operator]) -> bool:
        trials.append(frozenset(chosen))
        return needed <= set(chosen)

    found = fewest_exceptions(order, keep_limits)
    last = max(order.index(operator) for operator in needed)
    tried_to_drop = order[: last + 1][-1 - MAX_DROPS : -1]
    assert found == [one for one in order[: last + 1] if one in needed or one not in tried_to_drop]
    assert len(trials) == len(set(trials)) <= 2 * len(order).bit_length() + MAX_DROPS
