"""The demand on a camera's thread: run, pause, stop."""

from edge_tdn.service.demand import Demand, DemandSwitch


def test_a_camera_runs_until_something_else_is_demanded() -> None:
    switch = DemandSwitch()
    demand, changed = switch.follow()
    assert (demand, changed.is_set()) == (Demand.RUN, False)
    switch.set_enabled(False)
    assert changed.is_set()
    demand, changed = switch.follow()
    assert (demand, changed.is_set(), switch.enabled) == (Demand.PAUSE, False, False)


def test_the_same_demand_again_interrupts_nothing() -> None:
    switch = DemandSwitch()
    _, changed = switch.follow()
    switch.set_enabled(True)
    assert not changed.is_set()


def test_a_short_pause_interrupts_what_runs() -> None:
    """The source is opened again, as after a longer one."""
    switch = DemandSwitch()
    _, changed = switch.follow()
    switch.set_enabled(False)
    switch.set_enabled(True)
    assert changed.is_set()
    assert switch.follow()[0] is Demand.RUN


def test_a_stop_is_final_and_keeps_what_was_commanded() -> None:
    """A camera that is restarted because its table changed stays off if it was switched off."""
    switch = DemandSwitch()
    switch.set_enabled(False)
    _, changed = switch.follow()
    switch.stop("removed")
    assert changed.is_set()
    assert (switch.stopped, switch.reason, switch.enabled) == (True, "removed", False)
    switch.set_enabled(True)
    assert switch.follow()[0] is Demand.STOP
    assert switch.enabled
