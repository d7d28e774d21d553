"""The view of a camera: frames while it is looked at, and the scores of its zones."""

from dataclasses import replace
from weakref import ref

from edge_tdn.hub.camera_view import LOOK_S, CameraView
from edge_tdn.hub.hub import Hub
from edge_tdn.hub.kept_scores import MAX_BYTES
from edge_tdn.messages import NS_PER_S
from tests.support.actions import numbered_frame
from tests.support.fakes import SPEC


class Looked:
    """A view whose clock and frames a test sets."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.view = CameraView("door", clock=lambda: self.now_ns)

    def frame(self, number: int, now_s: float) -> None:
        self.now_ns = round(now_s * NS_PER_S)
        self.view.frame(replace(numbered_frame(number, now_s), received_ns=self.now_ns))

    @property
    def seq(self) -> int | None:
        frame = self.view.newest()
        return frame and frame.seq


def test_no_frame_is_kept_unless_the_camera_is_looked_at() -> None:
    looked = Looked()
    looked.frame(1, 0.1)
    assert looked.seq is None
    looked.view.look()
    looked.frame(2, 0.2)
    assert looked.seq == 2
    looked.frame(3, LOOK_S)
    assert looked.seq == 3
    looked.frame(4, LOOK_S + 0.2)
    assert looked.seq is None


def test_a_further_look_extends_the_time() -> None:
    looked = Looked()
    looked.view.look()
    looked.frame(1, LOOK_S - 1)
    looked.view.look()
    looked.frame(2, LOOK_S + 1)
    assert looked.seq == 2


def test_the_last_frame_of_a_camera_that_has_stopped_is_dropped_with_its_next_status() -> None:
    hub = Hub("b007")
    view = hub.view("door")
    view.look(0.0)
    view._until_ns = 2**62  # looked at for long
    view.frame(numbered_frame(1, 0.0))
    hub.publish("camera", lambda: b"{}")
    kept = view.newest()
    assert kept
    frame = ref(kept)
    del kept
    view.look(0.0)
    hub.publish("camera", lambda: b"{}")
    assert view.newest() is None
    assert frame() is None


def test_the_view_of_a_camera_outlasts_its_restart_but_not_its_removal() -> None:
    hub = Hub("b007")
    door, yard = hub.view("door"), hub.view("yard")
    hub.serve(["door"])
    assert hub.view("door") is door
    assert list(hub.views()) == ["door"]
    assert hub.view("yard") is not yard


def test_scores_continue_with_the_same_model_and_begin_again_with_another() -> None:
    view = CameraView("door")
    labels = ("still", "left")
    kept = view.keep("gate", labels, SPEC, 1)
    assert view.keep("gate", labels, SPEC, 1) is kept is view.kept("gate")
    assert view.keep("gate", ("still", "right"), SPEC, 1) is not kept
    assert view.kept(None) is None


def test_the_scores_of_a_zone_that_has_left_are_forgotten() -> None:
    view = CameraView("door")
    gate, path = (view.keep(zone, ("still", "left"), SPEC, 1) for zone in ("gate", "path"))
    view.serve(["gate"])
    assert view.kept("gate") is gate
    assert view.kept("path") is None
    assert path.max_rows > 0


def test_all_zones_together_have_a_bounded_room() -> None:
    hub = Hub("b007")
    hub.zones = 40
    labels = [str(number) for number in range(174)]
    kept = [hub.view(f"c{number}").keep(None, labels, SPEC, 1) for number in range(40)]
    arrays = [array for one in kept for array in vars(one).values() if hasattr(array, "nbytes")]
    assert MAX_BYTES / 2 < sum(array.nbytes for array in arrays) <= MAX_BYTES
