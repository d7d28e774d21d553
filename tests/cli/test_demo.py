"""`edge-tdn demo`: what it shows, how it ends, and why it fails."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import pytest

from edge_tdn.__main__ import main
from edge_tdn.config.load import parse
from edge_tdn.config.zone_tables import ZoneConfig, ZoneDecideConfig
from edge_tdn.delivery.mqtt import Message
from edge_tdn.demo.demo_clip import ACTION_S, RATE, STILL_S, demo_clip
from edge_tdn.demo.demo_scenes import CREDITS, PEOPLE, RECORDED, SCENES, zones_of
from tests.conftest import ROOT
from tests.support.broker import Mosquitto
from tests.support.command_line import Run, assert_refused, camera_site
from tests.support.documents import Page
from tests.support.retained import retained_topics
from tests.support.waiting import PROGRAM_S

PEOPLE_VIDEO = RECORDED[PEOPLE]
DEMO = [sys.executable, "-m", "edge_tdn", "demo"]


def demo_until(
    *printed: str, arguments: Sequence[str | Path] = (), interrupts: int = 1, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the demo until it has printed these texts, one that is given twice in two lines; then end it with Ctrl-C."""
    command, environ = [*DEMO, *map(str, arguments)], os.environ | environment
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout
        assert process.stderr
        output = ""
        while line := process.stdout.readline():
            output += line
            if all(output.count(text) >= printed.count(text) for text in printed):
                break
        for number in range(interrupts):
            time.sleep(0.1 * (number > 0))
            process.send_signal(signal.SIGINT)
        output += process.stdout.read()
        return subprocess.CompletedProcess(command, process.wait(PROGRAM_S), output, process.stderr.read())


def test_the_demo_brings_its_own_broker_and_recognises_actions(tmp_path: Path) -> None:
    result = demo_until("start  right", arguments=("--screenshot", tmp_path / "view.svg"))
    assert result.returncode == 0, result.stderr
    assert "(embedded)" in result.stdout
    assert "events as lines: the output is not a terminal, which the live view needs" in result.stdout
    starts = Counter(re.findall("  demo  start  (\\w+)", result.stdout))
    assert starts["right"]
    counted = ", ".join(f"{label} {count}" for label, count in starts.items())
    assert f"actions recognised: {counted}" in " ".join(result.stdout.split())
    assert "<svg" in (tmp_path / "view.svg").read_text()


def test_a_signal_to_the_whole_group_ends_the_demo_without_an_error() -> None:
    """As `timeout 30 edge-tdn demo` sends it: the broker inside the demo may end before the rest."""
    environ = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ, start_new_session=True
    ) as process:
        assert process.stdout
        assert process.stderr
        while "streaming" not in process.stdout.readline():
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGTERM)
        assert (process.wait(PROGRAM_S), process.stderr.read()) == (0, "")
        assert "actions recognised: " in process.stdout.read()


def test_a_screenshot_is_not_saved_under_the_name_of_another_format(here: Run, tmp_path: Path) -> None:
    result = here("demo", "--screenshot", tmp_path / "view.png")
    assert_refused(result, 78, f"--screenshot {tmp_path}/view.png: is an SVG picture: view.svg")


def test_a_port_without_the_page_is_refused(here: Run) -> None:
    assert_refused(here("demo", "--port", "8765"), 78, "--port 8765: is that of the page; add --web")


def test_the_scene_of_people_is_credited_recognised_and_looped(tmp_path: Path) -> None:
    """The package contains it: nothing is drawn. The second `left` is in the second round."""
    expected = ("start  down", "start  left", "start  left")
    result = demo_until(*expected, arguments=("--scene", "people"), XDG_CACHE_HOME=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "(embedded)" in result.stdout
    for part in ("https://github.com/intel-iot-devkit/sample-videos", "CC BY 4.0", "cut and joined"):
        assert part in result.stdout
    assert "does not read the signs" in result.stdout, "printed without a line break in it"
    assert "start  down" in result.stdout
    assert result.stdout.count("start  left") >= 2
    assert list(tmp_path.rglob("*.mp4")) == []


def test_the_demo_analyses_parts_of_the_picture_by_themselves(tmp_path: Path) -> None:
    """The saved view has their names."""
    view = tmp_path / "view.svg"
    arguments = ("--scene", "people", "--zones", "--screenshot", view)
    result = demo_until("  demo/face  start", arguments=arguments)
    assert result.returncode == 0, result.stderr
    assert re.search(r"actions recognised: .*\bface: \w+ \d", result.stdout)
    drawn = view.read_text()
    assert all(f"demo/{zone}" in drawn for zone in ("whole", "face", "hands"))


def test_the_zones_of_the_people_are_those_of_the_page_about_zones() -> None:
    """Any other source has its halves."""
    blocks = Page(ROOT / "docs/zones.md").blocks
    table = next(block.text for block in blocks if block.text.startswith("# zones.toml"))
    documented = parse(tomllib.loads(table), "zones.toml").camera[0].zone
    whole, *parts = zones_of(SCENES[PEOPLE])
    assert whole == {"name": "whole"}
    shown = [ZoneConfig.model_validate(one) for one in parts]
    assert shown == [one.model_copy(update={"decide": ZoneDecideConfig()}) for one in documented]
    assert [one["name"] for one in zones_of("/dev/video0")] == ["whole", "left-half", "right-half"]


def test_a_misspelt_scene_is_refused_with_the_nearest(edge_tdn: Run, here: Run, tmp_path: Path) -> None:
    result = edge_tdn("demo", "--scene", "peopel")
    assert result.returncode == 2
    assert "did you mean 'people'?" in result.stderr
    site = camera_site(tmp_path, source="demo:peopel")
    assert_refused(here("check", "--config", site), 78, "camera[0].source", "did you mean 'people'?")
    assert_refused(
        edge_tdn("demo", "--source", "demo:cars"), 66, "demo:cars", "unknown scene 'cars'; there are: people"
    )


def test_a_scene_and_a_camera_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--scene", "people", "--source", "/dev/video0"])
    assert ended.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_the_video_of_people_is_small_and_has_its_licence_beside_it() -> None:
    assert PEOPLE_VIDEO.stat().st_size < 500_000
    assert "Attribution 4.0 International" in (PEOPLE_VIDEO.parent / "LICENSE.people.CC-BY-4.0.txt").read_text()
    card = (PEOPLE_VIDEO.parent / "README.md").read_text()
    for part in (*re.findall(r"https://\S+", CREDITS[SCENES[PEOPLE]]), "licenses/by/4.0/", "\nChanged: "):
        assert part in card


def test_a_terminal_shows_picture_state_scores_and_events() -> None:
    """In a real pseudo-terminal, with the picture in half blocks."""
    import pty

    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "110", "LINES": "50"}
    process = subprocess.Popen(DEMO, stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    expected = {"▀", "streaming", "fps", "motion fp32 on CPU", "still", "start", "right"}
    output, shown = b"", False
    while True:
        try:
            output += os.read(leader, 65536)
        except OSError:  # the other end of the terminal is closed
            break
        if not shown and all(part.encode() in output for part in expected):
            shown = True
            process.send_signal(signal.SIGINT)
    assert process.wait(PROGRAM_S) == 0
    assert shown, output


def test_watch_prints_what_a_demo_publishes_at_a_real_broker(broker: Mosquitto) -> None:
    connection, link = broker.link()
    link.publish(Message("edge-tdn/early/availability", b"online", retain=True))  # received once watch has subscribed
    command = [sys.executable, "-m", "edge_tdn", "watch", "--broker", broker.url, "--json"]
    watch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert watch.stdout
        documents = [json.loads(watch.stdout.readline())]
        assert documents[0]["topic"] == "edge-tdn/early/availability"
        demo = demo_until("start  right", arguments=("--broker", broker.url))
        assert demo.returncode == 0
        while documents[-1]["message"] != "stopped":
            documents.append(json.loads(watch.stdout.readline()))
        watch.send_signal(signal.SIGINT)
        assert watch.wait(PROGRAM_S) == 0
        assert retained_topics(broker.port) == {"edge-tdn/early/availability"}, "the demo leaves nothing behind"
    finally:
        watch.kill()
        connection.close()
    events = [document["message"] for document in documents if document["topic"].endswith("/events")]
    watched = [event["label"] for event in events if event["type"] == "start"]
    shown = re.findall("  demo  start  (\\w+)", demo.stdout)
    assert watched[: len(shown)] == shown


def test_a_second_ctrl_c_does_not_interrupt_the_end() -> None:
    result = demo_until("demo: streaming", interrupts=3)
    assert result.returncode == 0
    assert "actions recognised" in result.stdout


def test_a_source_that_does_not_exist_is_exit_66(edge_tdn: Run, tmp_path: Path) -> None:
    assert_refused(edge_tdn("demo", "--source", tmp_path / "gone.mp4"), 66, "gone.mp4: No such file")


def test_an_invalid_option_is_reported_like_a_key_of_a_configuration(here: Run) -> None:
    result = here("demo", "--broker", "tcp://x")
    assert_refused(result, 78, "edge-tdn demo: broker.url = 'tcp://x'", "mqtt://HOST")
    assert_refused(here("demo", "--source", ""), 78, "camera[0].source = ''")


@pytest.mark.parametrize("source", ["/dev/video99", "rtsp://127.0.0.1:1/x"])
def test_a_demo_without_a_picture_reports_why(source: str) -> None:
    result = demo_until("demo: unreachable", arguments=("--source", source))
    assert_refused(result, 66, "no picture", source)
    assert "demo: unreachable" in result.stdout


@pytest.mark.parametrize("seconds", ["nan", "-1", "inf", "soon"])
def test_a_length_that_is_not_a_number_of_seconds_is_refused(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--seconds", seconds])
    assert ended.value.code == 2
    assert "--seconds" in capsys.readouterr().err


def test_a_damaged_demo_clip_is_drawn_again(tmp_path: Path) -> None:
    """A short one, so that the test is fast."""
    path = demo_clip()
    cache = tmp_path / "edge-tdn" / path.name
    cache.parent.mkdir()
    cache.write_bytes(path.read_bytes()[:100_000])
    program = "from edge_tdn.demo import demo_clip as d; d.SCRIPT = d.SCRIPT[:2]; print(d.demo_clip())"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(cache)
    assert cv2.VideoCapture(str(cache)).get(cv2.CAP_PROP_FRAME_COUNT) == RATE * (STILL_S + ACTION_S)
    assert [other.name for other in cache.parent.iterdir()] == [path.name]


def test_a_full_disk_ends_the_drawing_of_the_clip_with_a_message(tmp_path: Path) -> None:
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path]).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
        command = [*DEMO, "--seconds", "3"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PROGRAM_S)
        assert_refused(done, 1, "cannot be written")
    finally:
        subprocess.run(["umount", tmp_path], check=True)
