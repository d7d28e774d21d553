"""The state of a training, from the lines of its trainer."""

import json

from edge_tdn.hub.teaching_access import FinetuneState
from edge_tdn.process import passwords
from edge_tdn.service.finetune_progress import MAX_LINE, MAX_LOG_LINES, ended, follow

RUNNING = FinetuneState(state="running", id="door", since="2026-12-01T00:00:00.000Z")


def after(*messages: dict[str, object] | str) -> FinetuneState:
    state = RUNNING
    for message in messages:
        state = follow(state, message if isinstance(message, str) else json.dumps({"at": "", **message}))
    return state


def test_a_step_begins_with_figures_of_its_own() -> None:
    state = after(
        {"kind": "step", "step": 1, "of": 4, "text": "videos"},
        {"kind": "progress", "text": "decoding: a.mp4", "done": 3, "total": 8, "left_s": 12.5},
    )
    assert (state.step, state.of, state.text) == (1, 4, "decoding: a.mp4")
    assert (state.done, state.total, state.left_s) == (3.0, 8.0, 12.5)
    state = follow(state, json.dumps({"at": "", "kind": "step", "step": 2, "of": 4, "text": "training"}))
    assert (state.step, state.text, state.done, state.total, state.left_s) == (2, "training", 0.0, 0.0, None)
    assert state.log == ("1/4 videos", "2/4 training")


def test_an_unknown_total_is_zero() -> None:
    assert after({"kind": "progress", "text": "x", "done": 3, "total": None, "left_s": None}).total == 0.0


def test_other_lines_are_kept_in_the_log_without_colours_and_passwords() -> None:
    passwords.hide("hunter22")
    state = after(
        "UserWarning: something of a library",
        "10 %\r20 %\r\x1b[31m30 %\x1b[0m\r",
        "",
        "rtsp://u:hunter22@camera/ failed",
        '{"kind": "step"}',
        "x" * 2000,
    )
    assert state.log[:3] == ("UserWarning: something of a library", "30 %", "rtsp://u:***@camera/ failed")
    assert state.log[3:] == ('{"kind": "step"}', "x" * MAX_LINE)
    assert (state.step, state.text) == (0, "")


def test_the_log_is_bounded() -> None:
    state = after(*({"kind": "note", "text": f"line {n}"} for n in range(100)))
    assert len(state.log) == MAX_LOG_LINES
    assert state.log[-1] == "line 99"


def test_a_training_is_done_when_its_model_is_there() -> None:
    """However it ended: a stop that came too late changes nothing."""
    for status, stopped in ((0, False), (130, True)):
        state = ended(after({"kind": "done", "model": "door"}), status, stopped, complete=True)
        assert (state.state, state.text) == ("done", "")


def test_a_stop_is_not_a_failure() -> None:
    state = ended(after({"kind": "failed", "text": "stopped", "status": 130}), 130, stopped=True, complete=False)
    assert state.state == "stopped"
    assert "continues" in state.text


def test_a_failure_has_the_reason_of_the_trainer() -> None:
    state = after({"kind": "note", "text": "a"}, {"kind": "failed", "text": "clips: no videos", "status": 78})
    assert ended(state, 78, stopped=False, complete=False).text == "clips: no videos"


def test_a_failure_without_a_word_has_its_status_or_signal() -> None:
    assert "status 1" in ended(RUNNING, 1, stopped=False, complete=False).text
    assert "memory" in ended(RUNNING, -9, stopped=False, complete=False).text
    assert "signal 11" in ended(RUNNING, -11, stopped=False, complete=False).text
