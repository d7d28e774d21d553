"""The difference between two configurations, and what it makes a running daemon do."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.config.load import load
from edge_tdn.config.tables import Config
from edge_tdn.service.config_changes import changes, in_force

names = st.sampled_from(["a", "b", "c", "d"])
cameras = st.lists(
    st.fixed_dictionaries(
        {
            "name": names,
            "source": st.just("demo:"),
            "hop": st.integers(1, 2),
            "zone": st.sampled_from([[], [{"name": "z"}], [{"name": "z", "hop": 3}]]),
        }
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda camera: camera["name"],
)
tables = st.fixed_dictionaries(
    {
        "host": st.sampled_from(["one", "two"]),
        "broker": st.fixed_dictionaries(
            {},
            optional={
                "base": st.sampled_from(["x", "y"]),
                "keepalive_s": st.sampled_from([5, 10]),
                "scores": st.booleans(),
            },
        ),
        "decide": st.fixed_dictionaries({}, optional={"enter_threshold": st.sampled_from([0.5, 0.7])}),
        "outbox": st.fixed_dictionaries({}, optional={"max_mb": st.sampled_from([8, 64])}),
        "web": st.fixed_dictionaries({}, optional={"port": st.sampled_from([8765, 8766])}),
        "runtime": st.fixed_dictionaries(
            {}, optional={"threads": st.integers(0, 1), "model": st.sampled_from(["m", "n"])}
        ),
        "camera": cameras,
    }
)
configs = st.builds(Config.model_validate, tables)


@given(configs, configs)
def test_every_change_is_named_and_what_is_served_afterwards_differs_no_more(running: Config, new: Config) -> None:
    found = changes(running, new)
    before, after = ({camera.name: camera for camera in config.camera} for config in (running, new))
    kept = {name for name in before if after.get(name) == before[name]}
    assert sorted([*found.added, *found.restarted, *found.rezoned, *kept]) == sorted(after)
    assert sorted([*found.removed, *found.restarted, *found.rezoned, *kept]) == sorted(before)
    for name in found.rezoned:
        assert before[name].model_copy(update={"zone": after[name].zone}) == after[name], "the camera keeps running"
    assert set(found.later) <= set(found.keys)
    assert ("host" in found.later) == (running.host != new.host)
    assert found.runtime == (running.runtime.threads != new.runtime.threads)
    assert found.connection == (running.broker.keepalive_s != new.broker.keepalive_s)
    served = in_force(running, new)
    assert (served.host, served.base_topic, served.outbox) == (running.host, running.base_topic, running.outbox)
    assert served.web == running.web
    assert ("web.port" in found.later) == (running.web != new.web)
    left = changes(served, new)
    assert left.keys == left.later == found.later
    assert not left.added + left.leaving + left.rezoned
    assert not left.connection


def test_a_file_that_only_looks_different_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    text = '[[camera]]\nname = "a"\nsource = "demo:"\n'
    path.write_text(text)
    one = load(path)
    path.write_text(f"# a remark\n[broker]\nkeepalive_s = 10\n{text}hop = 1\n")
    assert str(changes(one, load(path))) == "no change"


def test_a_main_stream_starts_and_ends_with_the_recording() -> None:
    """Its camera is opened again; others keep running."""
    cameras = [{"name": "two", "source": "sub", "record_source": "main"}, {"name": "one", "source": "sub"}]
    silent = Config.model_validate({"camera": cameras})
    recording = Config.model_validate({"camera": cameras, "record": {"snapshot": True}})
    longer = Config.model_validate({"camera": cameras, "record": {"snapshot": True, "pre_roll_s": 5.0}})
    for found in (changes(silent, recording), changes(recording, silent)):
        assert (found.restarted, found.recorders) == (("two",), True)
    assert changes(recording, longer).restarted == ()
    assert changes(recording, longer).recorders


def test_a_camera_that_failed_is_restarted_and_a_pending_configuration_counts_as_possible() -> None:
    running = Config.model_validate({"camera": [{"name": "a", "source": "demo:"}]})
    pending = running.model_copy(update={"decide": running.decide.model_copy(update={"enter_threshold": 0.9})})
    assert changes(running, running, failed={"a"}).restarted == ("a",)
    assert changes(running, running, pending=pending).keys == ("decide.enter_threshold",)


def test_what_changes_of_a_cameras_zones_is_named() -> None:
    camera = {"name": "a", "source": "demo:"}
    running = Config.model_validate({"camera": [camera]})
    new = Config.model_validate({"camera": [camera | {"zone": [{"name": "gate"}]}]})
    assert str(changes(running, new)) == "zones changed of: a"
    assert changes(running, new, failed={"a"}).rezoned == (), "it is restarted"
