"""The progress of a command without a terminal: a line for each phase, and lines with the time left."""

import io
import time

import pytest
from edge_tdn_export import progress
from edge_tdn_export.progress import ProgressDisplay, stepped


def test_each_phase_has_one_line_where_there_is_no_terminal() -> None:
    with ProgressDisplay(stream=(lines := io.StringIO())) as display:
        for phase, total in (("calibrating head", 3), ("FP32", 2)):
            for done in range(total):
                display.report(f"{phase}: item {done}", done, total)
    assert lines.getvalue().splitlines() == ["calibrating head, 0 of 3", "FP32, 0 of 2"]


def test_long_phase_has_a_line_now_and_then_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while no item ends."""
    monkeypatch.setattr(progress, "MIN_ESTIMATE_S", 0.0)
    with ProgressDisplay(" s", line_every_s=0.02, stream=(lines := io.StringIO())) as display:
        display.report("looking for the clip", 0, 340)
        display.report("looking for the clip", 170, 340)
        deadline = time.monotonic() + 5
        while lines.getvalue().count("\n") < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    first, second, third, *_ = lines.getvalue().splitlines()
    assert first == "looking for the clip, 0 of 340 s"
    assert second.startswith("looking for the clip, 170 of 340 s, about ")
    assert third.endswith(" s left")


def test_tracked_items_are_counted_and_a_display_that_is_not_shown_still_prints_lines() -> None:
    for shown in (True, False):
        with ProgressDisplay(stream=(lines := io.StringIO()), shown=shown) as display:
            assert list(display.track("ab", 2, "clips")) == ["a", "b"]
            display.print("done")
        assert lines.getvalue().splitlines() == (["clips, 0 of 2", "done"] if shown else ["done"])


def test_steps_of_a_command_are_counted_together(capsys: pytest.CaptureFixture[str]) -> None:
    with stepped(3, "comparing") as step:
        for name in ("PyTorch", "fp32", "int8"):
            step(name)
    with stepped(2) as step:
        step("fp32: a.mp4")
        step("int8: a.mp4")
    assert capsys.readouterr().err.splitlines() == ["comparing, 0 of 3", "fp32, 0 of 2", "int8, 1 of 2"]
