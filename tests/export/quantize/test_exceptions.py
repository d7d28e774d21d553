"""The exceptions of INT8, and the clips that choose them."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

import pytest
from edge_tdn_export.limits import LIMITS
from edge_tdn_export.quantize import quantize as steps
from edge_tdn_export.quantize.agreement import Agreement
from edge_tdn_export.quantize.operators import CONVOLUTION, Operator
from edge_tdn_export.quantize.report import verdict
from edge_tdn_export.quantize.sensitivity import Ranking, Sensitivity


@pytest.mark.parametrize(("on_calibration", "on_held_out"), [(2, 2), (3, 1), (1, 3)])
def test_held_out_clips_choose_exceptions_only_where_calibration_clips_choose_too_few(
    on_calibration: int, on_held_out: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The numbers are those of the exceptions that each set of clips needs. The verdict says what chose them."""
    needed = {"selection": on_calibration, "held_out": on_held_out}

    def agreement(chosen: Sequence[Operator], clips: str) -> Agreement:
        return Agreement(1.0 if len(chosen) >= needed[clips] else 0.0, 0.0, 50)

    def trial(inputs: Any, what: str, bias_correction: bool, chosen: list[Operator], everything: Any) -> Any:
        folder = Path(mkdtemp(dir=tmp_path))
        return SimpleNamespace(exceptions=tuple(chosen), agreement=agreement(chosen, "held_out"), folder=folder)

    monkeypatch.setattr(steps, "restored", lambda inputs, graphs, chosen, clips: agreement(chosen, clips))
    monkeypatch.setattr(steps, "_trial", trial)
    operators = [Operator((0, "head"), f"res{n}", CONVOLUTION, (str(n),)) for n in range(9)]
    inputs: Any = SimpleNamespace(selection="selection", held_out="held_out", operators=operators)
    everything: Any = SimpleNamespace(graphs={}, bias_correction=True)
    chosen, by_held_out = steps.choose_exceptions(
        inputs, everything, Ranking(tuple(Sensitivity(one, 0.0, 0.0) for one in operators)), LIMITS["int8"]
    )
    assert by_held_out == (on_calibration < on_held_out)
    assert len(chosen.exceptions) == max(on_calibration, on_held_out)
    report: Any = SimpleNamespace(claim="within limits", chosen_on_held_out=by_held_out)
    assert verdict(report).endswith("; the exceptions were chosen on these clips") == by_held_out
