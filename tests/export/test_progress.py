"""The progress of a command without a terminal: a line for each phase, lines with the time left, lines of JSON."""

import io
import json
import time

import pytest
from edge_tdn_export import progress
from edge_tdn_export.progress import ProgressDisplay, begin_step, reported_as, stepped
from edge_tdn_export.progress_lines import ProgressLines
from rich.console import Console

from tests.support.waiting import eventually


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
        eventually(lambda: lines.getvalue().count(", 170 of 340 s, ") >= 2)
    first, *later = lines.getvalue().splitlines()
    assert first == "looking for the clip, 0 of 340 s"
    *_, second, third = later  # a busy machine may print the first line again
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


class JsonProgress:
    """The lines of JSON that a command writes."""

    def __init__(self, every_s: float = 0.0) -> None:
        self.stream = io.StringIO()
        self.lines = ProgressLines(self.stream, every_s)

    def written(self, *kinds: str) -> list[dict[str, object]]:
        """Return the messages without their times; of some kinds, by default all."""
        messages = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        assert all(message.pop("at").endswith("Z") for message in messages)
        return [message for message in messages if not kinds or message["kind"] in kinds]


def test_steps_phases_and_remarks_are_lines_of_json(capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing of them is on stderr."""
    with reported_as((json_progress := JsonProgress()).lines):
        console = Console(file=json_progress.lines, width=40, markup=False, highlight=False)
        begin_step(console, 1, 4, "videos")
        console.print("a remark\n\n  and another")
        with stepped(2, "trying") as step:
            step("first")
            step("second")
        with ProgressDisplay() as display:
            display.report("decoding: ü.mp4", 3, None)
            display.print("resuming after epoch 3")
        with ProgressDisplay(shown=False) as display:
            assert list(display.track("ab", 2, "hidden")) == ["a", "b"]
    assert json_progress.written("step", "note") == [
        {"kind": "step", "step": 1, "of": 4, "text": "videos"},
        {"kind": "note", "text": "a remark"},
        {"kind": "note", "text": "  and another"},
        {"kind": "note", "text": "resuming after epoch 3"},
    ]
    assert json_progress.written("progress") == [
        {"kind": "progress", "text": "trying: first", "done": 0, "total": 2, "left_s": None},
        {"kind": "progress", "text": "trying: second", "done": 1, "total": 2, "left_s": None},
        {"kind": "progress", "text": "decoding: ü.mp4", "done": 3, "total": None, "left_s": None},
    ]
    assert capfd.readouterr() == ("", "")
    begin_step(Console(file=(text := io.StringIO())), 1, 4, "videos")
    assert text.getvalue() == "1/4 videos\n"


def test_json_has_the_time_left_as_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "MIN_ESTIMATE_S", 0.0)
    with reported_as((json_progress := JsonProgress()).lines), ProgressDisplay() as display:
        display.report("clips", 0, 4)
        time.sleep(0.2)
        display.report("clips", 2, 4)
    first, second = json_progress.written()
    assert first["left_s"] is None
    assert isinstance(second["left_s"], float)
    assert second["left_s"] >= 0.2


def test_json_of_a_phase_has_a_line_now_and_then_and_each_phase_its_first() -> None:
    with reported_as((json_progress := JsonProgress(every_s=1000)).lines), ProgressDisplay() as display:
        for phase in ("a", "b"):
            for done in range(100):
                display.report(f"{phase}: item {done}", done, 100)
    assert [message["text"] for message in json_progress.written()] == ["a: item 0", "b: item 0"]


def test_a_display_with_a_stream_of_its_own_writes_there() -> None:
    own = io.StringIO()
    with reported_as((json_progress := JsonProgress()).lines), ProgressDisplay(stream=own) as display:
        display.report("clips", 0, 4)
    assert json_progress.written() == []
    assert own.getvalue() == "clips, 0 of 4\n"
