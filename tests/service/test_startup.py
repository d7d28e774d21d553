"""The ends of actions that were under way when the daemon was killed."""

from pathlib import Path

from edge_tdn.messages import ActionEvent
from edge_tdn.service.startup import _end_interrupted
from tests.support.actions import action_event
from tests.support.outbox import open_outbox

STEM = "door/20260301T120001.000Z_left_1"


def test_an_interrupted_end_names_only_the_files_that_were_complete(tmp_path: Path) -> None:
    files = {"snapshot": f"{STEM}.jpg", "clip": f"{STEM}.mp4"}
    start = action_event(1, "start", 1.0).model_copy(update=files)
    (tmp_path / "door").mkdir()
    (tmp_path / files["snapshot"]).write_bytes(b"jpeg")
    (tmp_path / f"door/.{Path(files['clip']).name}.part").write_bytes(b"half a clip")
    outbox = open_outbox(None)
    outbox.put([("door", 1, start.json_bytes())])
    _end_interrupted(outbox, "door", tmp_path)
    end = ActionEvent.model_validate_json(outbox.after(0, 9)[-1].payload)
    assert (end.type, end.reason, end.seq) == ("end", "interrupted", 2)
    assert (end.snapshot, end.clip) == (files["snapshot"], None)
