"""The endpoints of teaching: what they hand to it, what they answer, and what they refuse."""

import io
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from edge_tdn.errors import ConfigError
from edge_tdn.hub.teaching_access import (
    FinetuneState,
    RecordRequest,
    RecordState,
    TaughtClip,
    TeachingOverview,
    TeachingRefused,
    TrialRequest,
    TrialState,
)
from edge_tdn.messages import ActionEvent
from edge_tdn.web import recordings_files
from edge_tdn.web.api_teach import MAX_CLIPS
from tests.support.page_rig import PageRig, ScriptedDaemon, action, camera_place, page_rig, zone_place
from tests.support.scripted_teaching import CLIP, TAUGHT
from tests.support.waiting import PATIENCE_S, eventually

RECORD = "/api/camera/door/record"
LABEL = "/api/camera/door/label"
CLIPS = {"label": "door open", "count": 10, "seconds": 2, "pause": 3.5}
EVENT_CLIP = "20260301T120000.250Z_left_1.mp4"
POSTS: dict[str, dict[str, Any]] = {  # what each may be sent
    RECORD: CLIPS,
    "/api/record/stop": {},
    "/api/finetune": {"id": "door-open"},
    "/api/finetune/stop": {},
    "/api/trial": {"model": "door-open", "camera": "door"},
    "/api/trial/stop": {},
    "/api/takeover": {"model": "door-open"},
    f"/api/clip/door%20open/{CLIP}/move": {"label": "background"},
    LABEL: {"seq": 2, "label": "door open"},
}
GETS = ("/api/teach", "/api/teach/clips", "/api/teach/archive", f"/api/clip/door%20open/{CLIP}")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[PageRig]:
    """A page whose camera has recorded an action, with a clip to learn from."""
    daemon = ScriptedDaemon(folder=tmp_path / "recordings")
    (tmp_path / "recordings" / "door").mkdir(parents=True)
    (tmp_path / "recordings" / "door" / EVENT_CLIP).write_bytes(b"mp4")
    daemon.put(*action(1, "start", "end", clip=f"door/{EVENT_CLIP}"))
    with page_rig(tmp_path, daemon) as running:
        running.teaching.put("door open")
        yield running


def test_the_overview_is_as_teaching_has_it(rig: PageRig) -> None:
    answer = rig.page.ask("/api/teach")
    overview = TeachingOverview.model_validate_json(answer.body)
    assert answer.status == 200
    assert overview.models == (TAUGHT,)
    assert answer.content["record"]["state"] == "idle"


def test_clips_are_recorded_from_a_camera(rig: PageRig) -> None:
    answer = rig.page.post(RECORD, CLIPS)
    assert answer.status == 202
    assert RecordState.model_validate_json(answer.body) == rig.teaching.recording
    wish = RecordRequest(camera="door", zone=None, label="door open", count=10, seconds=2.0, pause=3.5)
    assert rig.teaching.asked == [("record", wish)]
    stopped = rig.page.post("/api/record/stop", {})
    assert (stopped.status, stopped.content["state"]) == (202, "done")


def test_clips_are_recorded_from_a_zone(tmp_path: Path) -> None:
    daemon = ScriptedDaemon(cameras=[camera_place("door", zone_place("gate"), zone_place("path"))])
    with page_rig(tmp_path, daemon) as rig:
        assert rig.page.post(RECORD, CLIPS | {"zone": "gate"}).content["zone"] == "gate"
        missing = rig.page.post(RECORD, CLIPS)
        assert (missing.status, missing.error) == (404, "camera door: a zone is missing; its zones: gate, path")
        assert rig.page.post(RECORD, CLIPS | {"zone": "attic"}).status == 404
        trial = {"model": "door-open", "camera": "door", "zone": "path"}
        assert rig.page.post("/api/trial", trial).content["zone"] == "path"
        assert rig.page.post("/api/trial", trial | {"zone": None}).status == 404
    assert [what for what, _ in rig.teaching.asked] == ["record", "try_model"]


def test_a_model_is_trained(rig: PageRig) -> None:
    answer = rig.page.post("/api/finetune", {"id": "door-open"})
    assert answer.status == 202
    assert FinetuneState.model_validate_json(answer.body).id == "door-open"
    stopped = rig.page.post("/api/finetune/stop", {})
    assert (stopped.status, stopped.content["state"]) == (202, "stopped")
    assert rig.teaching.asked == [("finetune", "door-open"), ("stop_finetune", None)]


def test_a_model_is_tried(rig: PageRig) -> None:
    answer = rig.page.post("/api/trial", {"model": "door-open", "camera": "door"})
    assert answer.status == 202
    assert TrialState.model_validate_json(answer.body).state == "opening"
    stopped = rig.page.post("/api/trial/stop", {})
    assert (stopped.status, stopped.content["state"]) == (202, "ended")
    wish = TrialRequest(model="door-open", camera="door", zone=None)
    assert rig.teaching.asked == [("try_model", wish), ("stop_trial", None)]


def test_a_model_is_taken_over(rig: PageRig) -> None:
    answer = rig.page.post("/api/takeover", {"model": "door-open"})
    assert (answer.status, answer.content["configured"]) == (200, False)
    assert answer.content["toml"] == '[runtime]\nmodel = "current"\n'
    refused = rig.page.post("/api/takeover", {"model": "gate"})
    assert (refused.status, refused.error) == (409, "no model 'gate' was trained here")


def test_clips_are_listed(rig: PageRig) -> None:
    rig.teaching.put("background", "20260301T130000Z-1.mp4")
    clips = [TaughtClip.model_validate(one) for one in rig.page.ask("/api/teach/clips").content["clips"]]
    assert [(clip.label, clip.name) for clip in clips] == [
        ("background", "20260301T130000Z-1.mp4"),
        ("door open", CLIP),
    ]
    (one,) = rig.page.ask("/api/teach/clips?label=door%20open").content["clips"]
    assert one["label"] == "door open"
    assert rig.page.ask("/api/teach/clips?label=attic").content == {"clips": []}


def test_only_so_many_clips_are_listed(rig: PageRig) -> None:
    for number in range(MAX_CLIPS + 1):
        rig.teaching.put("background", f"20260301T130000Z-{number}.mp4", b"")
    assert len(rig.page.ask("/api/teach/clips").content["clips"]) == MAX_CLIPS


def test_a_clip_is_played_in_parts(rig: PageRig) -> None:
    target = f"/api/clip/door%20open/{CLIP}"
    whole = rig.page.ask(target)
    assert (whole.status, whole.body, whole.headers["content-type"]) == (200, b"0123456789", "video/mp4")
    part = rig.page.ask(target, Range="bytes=2-4")
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert rig.page.ask(target, Range="bytes=10-").status == 416
    missing = rig.page.ask("/api/clip/door%20open/20260301T120000Z-9.mp4")
    assert (missing.status, missing.error) == (404, "this clip is not there; it has been moved or discarded")


def test_a_clip_of_a_class_with_other_letters_is_played(rig: PageRig) -> None:
    rig.teaching.put("Tür & <b>")
    assert rig.page.ask(f"/api/clip/T%C3%BCr%20%26%20%3Cb%3E/{CLIP}").status == 200


def test_a_clip_that_is_not_a_file_is_not_served(rig: PageRig) -> None:
    """Even if teaching should name it."""
    (rig.teaching.place / "secret").write_bytes(b"secret")
    (rig.teaching.place / "door open" / "linked.mp4").symlink_to(rig.teaching.place / "secret")
    (rig.teaching.place / "door open" / "folder.mp4").mkdir()
    for name in ("linked.mp4", "folder.mp4"):
        assert rig.page.ask(f"/api/clip/door%20open/{name}").status == 404


def test_a_clip_is_moved_or_discarded(rig: PageRig) -> None:
    target = f"/api/clip/door%20open/{CLIP}/move"
    for label in ("background", None):
        answer = rig.page.post(target, {"label": label})
        assert (answer.status, answer.content) == (200, {})
    assert rig.teaching.asked == [("move", ("door open", CLIP, "background")), ("move", ("door open", CLIP, None))]
    assert rig.page.post(target, {}).error == "'label': Field required"


def test_an_action_is_labelled_by_its_end(rig: PageRig) -> None:
    answer = rig.page.post(LABEL, {"seq": 2, "label": "door open"})
    assert answer.status == 200
    assert TaughtClip.model_validate_json(answer.body).label == "door open"
    assert rig.teaching.asked == [("label_event", ("test/door/boot/1", "door open"))]


@pytest.mark.parametrize(
    ("camera", "seq", "status", "error"),
    [
        ("door", 1, 409, "this action has not ended yet; label it after its end"),
        ("door", 3, 404, "this event is no longer kept"),
        ("attic", 2, 404, "no camera 'attic'"),
    ],
)
def test_other_events_are_not_labelled(rig: PageRig, camera: str, seq: int, status: int, error: str) -> None:
    answer = rig.page.post(f"/api/camera/{camera}/label", {"seq": seq, "label": "door open"})
    assert (answer.status, answer.error) == (status, error)
    assert not rig.teaching.asked


def test_a_clip_that_is_just_being_written_is_waited_for(rig: PageRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clip of an action is complete a while after its end."""
    monkeypatch.setattr(recordings_files, "WRITTEN_S", 3600.0)
    assert rig.daemon.folder
    clip = rig.daemon.folder / "door" / EVENT_CLIP
    unfinished = clip.rename(clip.with_name(f".{EVENT_CLIP}.part"))
    with ThreadPoolExecutor(1) as client:
        asked = client.submit(rig.page.post, LABEL, {"seq": 2, "label": "door open"})
        for _ in range(3):
            assert rig.page.ask("/api/teach/clips").status == 200
        assert ("label_event", ("test/door/boot/1", "door open")) not in rig.teaching.asked
        assert not asked.done()
        unfinished.rename(clip)
        assert asked.result().status == 200


def test_the_page_answers_while_an_action_is_being_cut(rig: PageRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes seconds."""
    begun, done = threading.Event(), threading.Event()
    label_event = rig.teaching.label_event

    def slow(event: ActionEvent, label: str) -> TaughtClip:
        begun.set()
        done.wait()
        return label_event(event, label)

    monkeypatch.setattr(rig.teaching, "label_event", slow)
    with ThreadPoolExecutor(1) as client:
        asked = client.submit(rig.page.post, LABEL, {"seq": 2, "label": "door open"})
        eventually(begun.is_set)
        assert rig.page.ask("/api/teach").status == 200
        assert rig.page.ask("/api/events").status == 200
        assert not asked.done()
        done.set()
        assert asked.result().status == 200


def test_all_clips_are_sent_as_an_archive(rig: PageRig) -> None:
    rig.teaching.put("background", "20260301T130000Z-1.mp4", bytes(200_000))
    with closing(_archive_of(rig)) as response:
        assert response.status == 200
        assert response.headers["content-type"] == "application/x-tar"
        assert response.headers["content-disposition"] == 'attachment; filename="clips.tar"'
        with tarfile.open(fileobj=io.BytesIO(response.read())) as archive:
            assert archive.getnames() == [
                "clips/dataset.toml",
                "clips/background/20260301T130000Z-1.mp4",
                f"clips/door open/{CLIP}",
            ]
    head = rig.page.ask("/api/teach/archive", "HEAD")
    assert (head.status, head.headers["content-type"]) == (200, "application/x-tar")


def test_one_archive_is_sent_at_a_time(rig: PageRig) -> None:
    """A client that leaves makes room for the next."""
    rig.teaching.put("background", "20260301T130000Z-1.mp4", bytes(20_000_000))
    with closing(_archive_of(rig)):
        second = rig.page.ask("/api/teach/archive")
        assert (second.status, second.error) == (503, "another archive is being sent; try again later")
    eventually(lambda: rig.page.ask("/api/teach/archive").status == 200)


def test_an_archive_without_clips_is_refused(rig: PageRig) -> None:
    (rig.teaching.place / "door open" / CLIP).unlink()
    answer = rig.page.ask("/api/teach/archive")
    assert (answer.status, answer.error) == (409, "record clips first: there is nothing to carry elsewhere yet")


@pytest.mark.parametrize("target", [*POSTS, *GETS])
def test_a_refusal_of_teaching_is_shown(rig: PageRig, target: str) -> None:
    def status_and_error() -> tuple[int, str]:
        answer = rig.page.post(target, POSTS[target]) if target in POSTS else rig.page.ask(target)
        return answer.status, answer.error

    rig.teaching.refusal = TeachingRefused("the disk is full; delete something")
    assert status_and_error() == (409, "the disk is full; delete something")
    rig.teaching.refusal = ConfigError("clips: not a folder")
    assert status_and_error() == (409, "clips: not a folder")
    rig.teaching.refusal = PermissionError(13, "Permission denied")
    assert status_and_error() == (503, "the folder of clips and models: Permission denied")
    rig.teaching.refusal = FileNotFoundError(2, "No such file or directory")
    assert status_and_error() == (404, "this file has been deleted")


@pytest.mark.parametrize("target", [*POSTS, *GETS])
def test_a_daemon_that_does_not_teach_says_so(rig: PageRig, target: str) -> None:
    rig.page.hub.end_teaching()
    answer = rig.page.post(target, POSTS[target]) if target in POSTS else rig.page.ask(target)
    assert (answer.status, answer.error) == (409, "this daemon does not teach")
    assert rig.page.ask("/api/state").content["teach"] is False


@pytest.mark.parametrize("target", [*POSTS, *GETS])
def test_teaching_needs_a_session(rig: PageRig, target: str) -> None:
    if target in POSTS:
        assert rig.page.post(target, POSTS[target], session=False).status == 401
        assert rig.page.ask(target).status == 405
    else:
        assert rig.page.ask(target, session=False).status == 401
        assert rig.page.post(target, {}).status == 405
    assert not rig.teaching.asked


@pytest.mark.parametrize("target", POSTS)
def test_requests_of_other_pages_change_nothing(rig: PageRig, target: str) -> None:
    body = b"{}"
    assert rig.page.ask(target, "POST", body, Origin="http://evil.test").status == 403
    assert rig.page.ask(target, "POST", body, Content_Type="text/plain").status == 415
    assert not rig.teaching.asked


@pytest.mark.parametrize("target", POSTS)
def test_an_unknown_key_is_refused(rig: PageRig, target: str) -> None:
    answer = rig.page.post(target, POSTS[target] | {"path": "/etc"})
    assert (answer.status, answer.error) == (422, "'path': Extra inputs are not permitted")
    assert not rig.teaching.asked


@pytest.mark.parametrize(
    ("target", "change", "error"),
    [
        (RECORD, {"count": 0}, "'count': Input should be greater than or equal to 1"),
        (RECORD, {"count": 101}, "'count': Input should be less than or equal to 100"),
        (RECORD, {"count": True}, "'count': Input should be a valid integer"),
        (RECORD, {"seconds": 0.4}, "'seconds': Input should be greater than or equal to 0.5"),
        (RECORD, {"seconds": 601}, "'seconds': Input should be less than or equal to 600"),
        (RECORD, {"seconds": "2"}, "'seconds': Input should be a valid number"),
        (RECORD, {"pause": -1}, "'pause': Input should be greater than or equal to 0"),
        (RECORD, {"pause": 61}, "'pause': Input should be less than or equal to 60"),
        (RECORD, {"label": ""}, "'label': a name is missing, or begins with a dot, or has blanks around it"),
        (RECORD, {"label": " left"}, "'label': a name is missing, or begins with a dot, or has blanks around it"),
        (RECORD, {"label": ".left"}, "'label': a name is missing, or begins with a dot, or has blanks around it"),
        (RECORD, {"label": "../left"}, "'label': a name is missing, or begins with a dot, or has blanks around it"),
        (RECORD, {"label": "a/b"}, "'label': letters, digits and signs are allowed, but not / \\ .."),
        (RECORD, {"label": "a\\b"}, "'label': letters, digits and signs are allowed, but not / \\ .."),
        (RECORD, {"label": "a..b"}, "'label': letters, digits and signs are allowed, but not / \\ .."),
        (RECORD, {"label": "a\nb"}, "'label': letters, digits and signs are allowed, but not / \\ .."),
        (RECORD, {"label": "ü" * 101}, "'label': a name has 200 bytes at most"),
        (LABEL, {"label": "a/b"}, "'label': letters, digits and signs are allowed, but not / \\ .."),
        (LABEL, {"seq": 0}, "'seq': Input should be greater than or equal to 1"),
        (LABEL, {"seq": 10**18}, "'seq': Input should be less than or equal to 999999999999999999"),
        (LABEL, {"seq": 2.5}, "'seq': Input should be a valid integer"),
        (
            "/api/finetune",
            {"id": ".."},
            "'id': up to 64 of A-Z, a-z, 0-9, dot, dash and underscore, the first a letter or digit",
        ),
        (
            "/api/finetune",
            {"id": "-rf"},
            "'id': up to 64 of A-Z, a-z, 0-9, dot, dash and underscore, the first a letter or digit",
        ),
        (
            "/api/takeover",
            {"model": "a/b"},
            "'model': up to 64 of A-Z, a-z, 0-9, dot, dash and underscore, the first a letter or digit",
        ),
        (
            "/api/trial",
            {"model": "a\n"},
            "'model': up to 64 of A-Z, a-z, 0-9, dot, dash and underscore, the first a letter or digit",
        ),
    ],
)
def test_a_wrong_value_is_refused(rig: PageRig, target: str, change: dict[str, object], error: str) -> None:
    answer = rig.page.post(target, POSTS[target] | change)
    assert (answer.status, answer.error) == (422, error)
    assert not rig.teaching.asked


@pytest.mark.parametrize("target", ["/api/camera/attic/record", "/api/trial"])
def test_an_unknown_camera_is_refused(rig: PageRig, target: str) -> None:
    body = CLIPS if target.endswith("record") else {"model": "door-open", "camera": "attic"}
    answer = rig.page.post(target, body)
    assert (answer.status, answer.error) == (404, "no camera 'attic'")
    assert not rig.teaching.asked


def test_too_many_commands_are_refused(rig: PageRig) -> None:
    """Those of teaching count as the others do."""
    rig.daemon.left = 1
    assert rig.page.post(RECORD, CLIPS).status == 202
    assert rig.page.post("/api/record/stop", {}).status == 429
    assert [what for what, _ in rig.teaching.asked] == ["record"]


def test_states_come_by_the_stream(rig: PageRig) -> None:
    states = {"record": RecordState(state="ready"), "finetune": FinetuneState(state="running"), "trial": TrialState()}
    with rig.stream() as reader:
        reader.next("hello")
        for kind, state in states.items():
            rig.page.hub.publish(kind, state.json_bytes)  # type: ignore[arg-type]
        notes = [reader.next(*states) for _ in states]
    assert [note.kind for note in notes] == list(states)
    assert RecordState.model_validate(notes[0].content) == states["record"]


def _archive_of(rig: PageRig) -> HTTPResponse:
    """Return the answer to a request for the archive, whose body has not been read."""
    connection = HTTPConnection("127.0.0.1", rig.page.port, timeout=PATIENCE_S)
    connection.request("GET", "/api/teach/archive", headers={"Cookie": rig.page.cookie()})
    return connection.getresponse()
