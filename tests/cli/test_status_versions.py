"""`edge-tdn status` of many hosts: old versions and models, one line a host, and the exit status of a roll-out."""

import json
import random
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from edge_tdn.__main__ import main
from edge_tdn.cli.status_table import Overview
from edge_tdn.cli.status_versions import NEWEST, Expected, outdated, version_order
from edge_tdn.status_messages import DaemonStatus
from tests.support.broker import Mosquitto
from tests.support.retained import RetainedStates, ago, camera_status, daemon_status, model_status

OLD, NEW = {"version": "0.9.0"}, {"version": "0.10.0"}


def host(version: str = "0.1.0", model: str = "motion", digest: str = "a") -> DaemonStatus:
    content = {"version": version, "model": {"id": model, "precision": "int8", "sha256": digest * 64}}
    return DaemonStatus.model_validate_json(daemon_status("door", **content))


def found(hosts: dict[str, DaemonStatus], expected: Expected = NEWEST) -> dict[str, list[str]]:
    return {base: [str(one) for one in remarks] for base, remarks in outdated(hosts, expected).items()}


def test_versions_are_ordered_by_their_numbers() -> None:
    ordered = ["0.9", "0.9.1", "0.10rc1", "0.10rc2", "0.10", "0.10.1", "0.10.10", "1.0.dev3", "1.0"]
    shuffled = random.Random(0).sample(ordered, len(ordered))
    assert sorted(shuffled, key=version_order) == ordered


def test_the_newest_version_shown_is_current() -> None:
    hosts = {"a": host("0.9.0"), "b": host("0.10.0"), "c": host("0.10.0rc1"), "d": host("0.10.0")}
    assert found(hosts) == {
        "a": ["version 0.9.0, expected 0.10.0"],
        "c": ["version 0.10.0rc1, expected 0.10.0"],
    }
    assert found({}) == found({"a": host("0.9.0")}) == {}


def test_names_of_models_that_differ_in_their_last_number_are_versions_of_one_model() -> None:
    models = ("door-v3", "door-v12", "door", "gate-2026-09-30", "gate-2026-11-02", "tdn50", "motion")
    hosts = {model: host(model=model) for model in models}
    assert found(hosts) == {
        "door-v3": ["model door-v3, expected door-v12"],
        "door": ["model door, expected door-v12"],
        "gate-2026-09-30": ["model gate-2026-09-30, expected gate-2026-11-02"],
    }


def test_of_models_with_one_name_the_contents_of_most_hosts_are_current() -> None:
    hosts = {"a": host(digest="a"), "b": host(digest="b"), "c": host(digest="b")}
    assert found(hosts) == {"a": ["model motion@aaaaaaaa, expected motion@bbbbbbbb"]}
    del hosts["c"]
    assert found(hosts) == {
        "a": ["model motion@aaaaaaaa, expected motion@bbbbbbbb"],
        "b": ["model motion@bbbbbbbb, expected motion@aaaaaaaa"],
    }


def test_what_the_user_expects_replaces_the_rules() -> None:
    hosts = {"a": host("0.9.0", "door-v3"), "b": host("0.10.0", "door-v4", "b")}
    assert found(hosts, Expected("0.9.0", "door-v3")) == {
        "b": ["version 0.10.0, expected 0.9.0", "model door-v4, expected door-v3"]
    }
    assert found(hosts, Expected("0.9.0", "door-v4@bbb")) == {
        "a": ["model door-v3@aaaaaaaa, expected door-v4@bbb"],
        "b": ["version 0.10.0, expected 0.9.0"],
    }


def with_models(*names: str) -> DaemonStatus:
    models = [model_status(name) for name in names]
    return DaemonStatus.model_validate_json(daemon_status("door", model=models[0]["model"], models=models))


def test_every_model_of_a_host_may_be_old() -> None:
    """An expected model is compared with those of its name: the host may serve others beside it."""
    hosts = {"a": with_models("motion", "door-v3"), "b": with_models("door-v4", "motion"), "c": with_models("motion")}
    assert found(hosts) == {"a": ["model door-v3, expected door-v4"]}
    assert found(hosts, Expected(model="door-v4")) == {
        "a": ["model door-v3, expected door-v4"],
        "c": ["model motion, expected door-v4"],
    }


def test_models_that_one_host_serves_at_the_same_time_are_not_versions_of_each_other() -> None:
    """Two zones have them; the numbers of such models have no order on any host, those of others still have."""
    both = with_models("falls-2", "falls-3", "door-v4")
    assert found({"a": both}) == {}
    assert found({"a": both, "b": with_models("falls-2"), "c": with_models("falls-1", "door-v3")}) == {
        "c": ["model door-v3, expected door-v4"]
    }
    assert found({"b": with_models("falls-2"), "c": with_models("falls-3")}) == {
        "b": ["model falls-2, expected falls-3"]
    }
    assert found({"a": both, "b": with_models("falls-2")}, Expected(model="falls-3")) == {
        "b": ["model falls-2, expected falls-3"]
    }
    assert found({"a": both}, Expected(model="falls-4")) == {
        "a": ["model falls-2, expected falls-4", "model falls-3, expected falls-4"]
    }


def test_contents_of_one_name_are_compared_also_where_a_host_serves_another_number_of_it() -> None:
    one, other = with_models("falls-2", "falls-3"), host("1.2.3", "falls-2", "b")
    hosts = {"a": one, "b": other, "c": other}
    assert found(hosts) == {"a": ["model falls-2@00000000, expected falls-2@bbbbbbbb"]}


@pytest.fixture
def fleet(broker: Mosquitto) -> Iterator[RetainedStates]:
    """Three hosts that are well, of which one has an old version."""
    states = RetainedStates(broker)
    for name, version in (("attic", NEW), ("barn", OLD), ("shed", NEW)):
        status = daemon_status("door", host=name, **version)
        states.leave(f"edge-tdn/{name}", availability=b"online", status=status, door__status=camera_status("door"))
    yield states
    states.close()


def test_old_hosts_are_named_and_the_exit_status_is_that_of_the_hosts(
    broker: Mosquitto, fleet: RetainedStates, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--broker", broker.url]) == 0
    output = capsys.readouterr().out
    assert output.endswith("\n3 hosts: 3 well\nversion 0.9.0, expected 0.10.0: barn\n")
    barn = next(part for part in output.split("\n\n") if part.startswith("edge-tdn/barn"))
    assert barn.splitlines()[1] == "version 0.9.0, expected 0.10.0"
    assert main(["status", "--broker", broker.url, "--json"]) == 0
    hosts = json.loads(capsys.readouterr().out)["hosts"]
    assert [one["outdated"] for one in hosts.values()] == [{}, {"version": "0.10.0"}, {}]


def test_a_script_learns_from_the_exit_status_whether_a_roll_out_is_complete(
    broker: Mosquitto, fleet: RetainedStates, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failed host comes first, and a host that was stopped on purpose last."""
    command = ["status", "--broker", broker.url, "--expect-version", "0.10.0"]
    assert main(command) == 4
    fleet.leave("edge-tdn/shed", availability=b"stopped")
    assert main(command) == 4
    fleet.leave("edge-tdn/barn", status=daemon_status("door", **NEW))
    assert main(command) == 3
    fleet.leave("edge-tdn/shed", availability=b"online")
    assert main(command) == 0
    assert main([*command, "--expect-model", "motion-v2"]) == 4
    assert "model motion, expected motion-v2: attic, barn, shed" in capsys.readouterr().out
    fleet.leave("edge-tdn/shed", availability=b"offline")
    assert main([*command, "--expect-model", "motion-v2"]) == 1


def test_brief_shows_a_line_for_each_host_within_eighty_columns() -> None:
    overview, out = Overview("edge-tdn/+", brief=True), StringIO()
    for number in range(50):
        base = f"edge-tdn/building-{number:02}-west"
        version = f"0.{1 if number == 7 else 2}.0"
        model = {"id": f"door-{'2026-09-30' if number == 8 else '2026-11-02'}", "precision": "int8", "sha256": "0" * 64}
        status = daemon_status("door", "yard", version=version, model=model)
        overview.take(f"{base}/availability", b"offline" if number == 9 else b"online")
        overview.take(f"{base}/status", status)
        for camera in ("door", "yard"):
            state = "stalled" if (number, camera) == (3, "yard") else "streaming"
            overview.take(f"{base}/{camera}/status", camera_status(camera, state=state))
    Console(file=out, width=80).print(overview)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    rows = [" ".join(line.split()) for line in lines]
    assert rows[0] == "host state version model cameras waiting"
    assert rows[1] == "building-00-west online 0.2.0 door-2026-11-02 2 of 2 0"
    assert rows[4] == "building-03-west failing 0.2.0 door-2026-11-02 1 of 2 0"
    assert rows[8] == "building-07-west online 0.1.0 old door-2026-11-02 2 of 2 0"
    assert rows[9] == "building-08-west online 0.2.0 door-2026-09-30 old 2 of 2 0"
    assert rows[10] == "building-09-west offline 0.2.0 door-2026-11-02 0 of 2 0"
    assert rows[51:53] == ["building-03-west: camera yard stalled", "building-09-west: offline"]
    assert rows[54] == "50 hosts: 48 well, 2 failed"
    assert rows[55:57] == [
        "model door-2026-09-30, expected door-2026-11-02: building-08-west",
        "version 0.1.0, expected 0.2.0: building-07-west",
    ]


def test_brief_names_all_models_of_a_host() -> None:
    overview = Overview("edge-tdn/+", brief=True)
    models = [model_status("motion"), model_status("hands"), model_status("motion")]
    overview.take("edge-tdn/barn/availability", b"online")
    overview.take("edge-tdn/barn/status", daemon_status("door", version="0.2.0", models=models))
    overview.take("edge-tdn/barn/door/status", camera_status("door"))
    assert brief(overview)[1] == "barn online 0.2.0 motion + hands 1 of 1 0"


def test_a_configuration_gives_the_broker_and_base_gives_the_hosts(
    broker: Mosquitto, fleet: RetainedStates, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The configuration of an operator needs no camera."""
    path = str(tmp_path / "operator.toml")
    Path(path).write_text(f'host = "barn"\n[broker]\nurl = "{broker.url}"\n')
    assert main(["status", "--config", path, "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["hosts"]) == ["edge-tdn/barn"]
    assert main(["status", "--config", path, "--base", "edge-tdn/+", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["hosts"]) == 3


def brief(overview: Overview) -> list[str]:
    """Return the lines of the drawn overview, with single spaces."""
    out = StringIO()
    Console(file=out, width=100).print(overview)
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_brief_names_reasons_marks_newer_versions_and_orders_hosts_by_their_numbers() -> None:
    """A camera that a command has disabled has not failed."""
    overview = Overview("edge-tdn/+", Expected("0.2.0", ""), brief=True)
    refused = {"state": "refused", "reason": "site.toml:3: enter_treshold: unknown key", "since": ago(60)}
    for number, changed in ((10, {"config": refused}), (2, {"version": "0.10.0"}), (1, {"version": "0.1.0"})):
        overview.take(f"edge-tdn/barn-{number}/availability", b"online")
        overview.take(f"edge-tdn/barn-{number}/status", daemon_status("door", **({"version": "0.2.0"} | changed)))
        state = "disabled" if number == 2 else "streaming"
        overview.take(f"edge-tdn/barn-{number}/door/status", camera_status("door", state=state))
    assert brief(overview)[1:6] == [
        "barn-1 online 0.1.0 old motion 1 of 1 0",
        "barn-2 online 0.10.0 newer motion 0 of 1, 1 off 0",
        "barn-10 failing 0.2.0 motion 1 of 1 0",
        "barn-10: configuration refused: site.toml:3: enter_treshold: unknown key",
        "",
    ]
    assert overview.hosts["edge-tdn/barn-2"].state == "well"
