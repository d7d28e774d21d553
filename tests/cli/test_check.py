"""`edge-tdn check`: the plan of a configuration, or what is wrong with it."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from edge_tdn.cli.check import check
from edge_tdn.cli.plan import FURTHER_LIMITS
from edge_tdn.config.tables import DecideConfig
from edge_tdn.config.zone_tables import ZoneDecideConfig
from edge_tdn.errors import ConfigError
from tests.support.command_line import Run, assert_refused, camera_site
from tests.support.model_folders import edit_manifest, rehash


def test_the_plan_names_model_precision_topics_and_pace(here: Run, tmp_path: Path) -> None:
    result = here("check", "--config", camera_site(tmp_path, 'host = "barn"'))
    assert result.returncode == 0, result.stderr
    for part in ("motion: 8 labels", "fp32 on CPU, self-test passed", "edge-tdn/barn/", "a clip every 0.27 s"):
        assert part in result.stdout


def test_the_plan_names_groups_thresholds_and_destinations(here: Run, tmp_path: Path) -> None:
    text = """
[decide]
exit_threshold = 0.3
[[decide.action]]
name = "sideways"
labels = ["left", "right"]
enter_threshold = 0.5
[record]
folder = "pictures"
[home_assistant]
discovery = "device"
[metrics]
port = 9464
"""
    result = here("check", "--config", camera_site(tmp_path, text))
    assert result.returncode == 0, result.stderr
    plan = " ".join(result.stdout.split())
    for part in (
        "sideways (left + right)",
        "starts at 0.7, ends below 0.3; sideways 0.5 and 0.3; again 60 s after its end",
        "nothing: snapshot and clip are false",
        "by device, homeassistant/...",
        "http://127.0.0.1:9464/metrics",
    ):
        assert part in plan
    assert not (tmp_path / "outbox").exists()


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_an_outbox_that_is_a_file_is_refused(folder: str, here: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = here("check", "--config", camera_site(tmp_path, f'[outbox]\nfolder = "{folder}"'))
    assert_refused(result, 78, "outbox", f"{tmp_path / 'file'}")


@pytest.mark.parametrize(
    ("table", "key"), [("[web]\nport = 8765", "web.label_folder"), ("[record]\nsnapshot = true", "record.folder")]
)
def test_a_folder_below_a_file_is_refused(table: str, key: str, here: Run, tmp_path: Path) -> None:
    """The line, the key and the value are named, and what to do."""
    name = key.partition(".")[2]
    result = here("check", "--config", camera_site(tmp_path, f"{table}\n{name} = '/dev/null/x'"))
    fault = f"site.toml:3: {key} = '/dev/null/x': /dev/null is a file; allowed: a folder, or a new name"
    assert_refused(result, 78, fault)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("gone.mp4", ["camera[0].source", "gone.mp4: No such"]),
        ("rtps://x/y", ["rtps://", "rtsp://"]),
        ("gst: nosuchelement", ['no element "nosuchelement"']),
        ('gst: videotestsrc"\ndecoder = "opencv', ["gst: needs the decoder gstreamer"]),
    ],
    ids=["missing file", "unknown scheme", "missing element", "wrong decoder"],
)
def test_a_source_that_cannot_be_opened_is_refused_without_connecting(
    source: str, parts: list[str], here: Run, tmp_path: Path
) -> None:
    assert_refused(here("check", "--config", camera_site(tmp_path, source=source)), 78, *parts)


def test_a_model_whose_file_has_changed_is_refused(here: Run, model_copy: Path, tmp_path: Path) -> None:
    raw = bytearray((model_copy / "fp32/head.bin").read_bytes())
    raw[1000] ^= 4
    (model_copy / "fp32/head.bin").write_bytes(raw)
    result = here("check", "--config", camera_site(tmp_path, '[runtime]\nmodel = "model"'))
    assert_refused(result, 78, "head.bin: content changed since export")


def test_a_label_without_a_logit_is_refused_even_if_the_manifest_agrees(
    here: Run, model_copy: Path, tmp_path: Path
) -> None:
    """Nine labels and nine classes, but the network has eight logits."""
    with (model_copy / "labels.txt").open("a") as file:
        file.write("ninth\n")
    rehash(model_copy, "labels.txt")
    edit_manifest(model_copy, lambda content: content.update(classes=9))
    result = here("check", "--config", camera_site(tmp_path, '[runtime]\nmodel = "model"'))
    assert_refused(result, 78, "golden.npz", "logits (8,)", "logits (9,)")


def test_a_label_count_that_differs_from_the_classes_is_refused(here: Run, model_copy: Path, tmp_path: Path) -> None:
    (model_copy / "labels.txt").write_text("one\ntwo\n")
    rehash(model_copy, "labels.txt")
    edit_manifest(model_copy, lambda content: content.update(background=[]))
    result = here("check", "--config", camera_site(tmp_path, '[runtime]\nmodel = "model"'))
    assert_refused(result, 78, "2 labels, but the model has 8 classes")


def test_text_in_square_brackets_is_not_markup(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape("[/off]")):
        check(Console(markup=False), camera_site(tmp_path, source="[/off].mp4"))


def test_the_plan_names_the_files_and_where_values_come_from(
    here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values that stand literally in the main file are not listed; passwords are not shown."""
    monkeypatch.setenv("SITE_BROKER", "broker.lan")
    monkeypatch.setenv("CAMERA_PASSWORD", "hunter22")
    (tmp_path / "fleet.toml").write_text(
        '[broker]\nurl = "mqtt://${SITE_BROKER}"\n[decide]\nenter_threshold = 0.7\n'
        '[[camera]]\nname = "gate"\nsource = "rtsp://me:${CAMERA_PASSWORD}@cam/1"\n'
    )
    site = 'include = ["fleet.toml"]\nhost = "barn"\n[decide]\nenter_threshold = 0.8\n'
    result = here("check", "--config", camera_site(tmp_path, site))
    assert result.returncode == 0, result.stderr
    plan = "".join(result.stdout.split())  # long cells are folded
    for part in (
        "broker.url 'mqtt://broker.lan' mqtt://${SITE_BROKER} in fleet.toml:2",
        "decide.enter_threshold 0.8 site.toml:4, instead of fleet.toml:4",
        "camera[0].name 'gate' fleet.toml:6",
        "camera[0].source 'rtsp://me:***@cam/1' rtsp://me:${CAMERA_PASSWORD}@cam/1",
    ):
        assert part.replace(" ", "") in plan
    assert plan.startswith(f"files{tmp_path}/fleet.toml{tmp_path}/site.tomlmodel")
    assert "host'barn'" not in plan
    assert "hunter22" not in result.stdout


def test_the_plan_names_the_only_file_and_warns_of_a_pattern_without_a_match(here: Run, tmp_path: Path) -> None:
    result = here("check", "--config", camera_site(tmp_path, 'include = ["*.conf"]\n'))
    assert result.returncode == 0, result.stderr
    plan = "".join(result.stdout.split())
    assert plan.startswith(f"files{tmp_path}/site.tomlwarning{tmp_path}/site.toml:1:include[0]='*.conf':matchesnofile")


def test_a_pattern_of_a_missing_folder_is_exit_status_78(here: Run, tmp_path: Path) -> None:
    result = here("check", "--config", camera_site(tmp_path, 'include = ["confd/*.toml"]\n'))
    assert_refused(result, 78, "site.toml:1: include[0] = 'confd/*.toml'", "create the folder")


@pytest.mark.parametrize(
    "source", ["rtsp://me:hunter22@${CAMERA_HOST}/1", "rtsp://me:${CAMERA_PASSWORD:-hunter22}@cam/1"]
)
def test_the_plan_hides_a_password_that_stands_beside_a_variable(
    source: str, here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMERA_HOST", "cam")
    (tmp_path / "fleet.toml").write_text(f'[[camera]]\nname = "gate"\nsource = "{source}"\n')
    result = here("check", "--config", camera_site(tmp_path, 'include = ["fleet.toml"]\n'))
    assert result.returncode == 0, result.stderr
    assert "'rtsp://me:***@cam/1'" in "".join(result.stdout.split())
    assert "hunter22" not in result.stdout


def test_the_plan_shows_the_path_of_a_file_in_another_folder_and_the_variables_in_a_list(
    here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTION", "wave")
    (tmp_path / "site").mkdir()
    (tmp_path / "shared.toml").write_text('[decide]\nonly = ["up", "${ACTION}"]\n')
    camera_site(tmp_path / "site", 'include = ["../shared.toml"]\n')
    monkeypatch.chdir(tmp_path / "site")
    result = here("check", "--config", "site.toml")
    assert result.returncode == 0, result.stderr
    assert "decide.only ['up', 'wave'] ${ACTION} in ../shared.toml:2" in " ".join(result.stdout.split())


ZONES = """
[[camera.zone]]
name = "gate"
region = [0.5, 0.0, 0.5, 0.25]
[camera.zone.decide]
only = ["up", "down"]
[[camera.zone]]
name = "bed"
polygon = [[0.1, 0.2], [0.5, 0.2], [0.3, 0.8]]
hop = 2
{keys}
[camera.zone.decide]
enter_threshold = 0.9
[[camera.zone]]
name = "rest"
"""


def zoned_site(folder: Path, source: str = "rtsp://127.0.0.1:1/live", keys: str = "") -> Path:
    """Write site.toml with a camera of three zones, the second with further `keys`, and return its path."""
    path = camera_site(folder, source=source)
    path.write_text(path.read_text() + ZONES.format(keys=keys))
    return path


def test_the_plan_names_each_zone_with_what_differs_there(here: Run, tmp_path: Path) -> None:
    """A single model is shown as for cameras without zones, and its memory."""
    result = here("check", "--config", zoned_site(tmp_path))
    assert result.returncode == 0, result.stderr
    plan = " ".join(result.stdout.split())
    assert plan.count("self-test passed") == 1
    assert re.search(r"self-test passed memory \d+ MB, estimated parity equal", plan)
    all_labels = "reported: left, right, up, down, approach, recede, wave"
    assert plan.partition(" camera a ")[2] == (
        "rtsp://127.0.0.1:1/live "
        "zone gate region [0.5, 0, 0.5, 0.25], a clip every 0.27 s reported: up, down "
        "zone bed polygon [0.1, 0.2] [0.5, 0.2] [0.3, 0.8], a clip every 0.53 s "
        f"{all_labels} starts at 0.9, ends below 0.4; again 60 s after its end "
        f"zone rest whole picture, a clip every 0.27 s {all_labels} "
        "configuration and model are right"
    )


def test_the_plan_lists_all_limits_of_a_zone_that_differ_from_those_of_all(here: Run, tmp_path: Path) -> None:
    """In words and in one line; a limit that is as in [decide] is not listed, even if the zone has it."""
    limits = """
smoothing_s = 0.4
min_length_s = 1.5
max_length_s = 30.0
merge_gap_s = 3.0
cool_down_s = 0.0
several = true
"""
    zoned = zoned_site(tmp_path)
    zoned.write_text(zoned.read_text() + f"[camera.zone.decide]{limits}enter_threshold = 0.7\n")
    result = here("check", "--config", zoned)
    assert result.returncode == 0, result.stderr
    words = (
        "starts at 0.7, ends below 0.4; again at once; averaged over 0.4 s; lasts at least 1.5 s; ended after 30 s; "
        "continues after a gap of up to 3 s; several at a time"
    )
    plan = " ".join(result.stdout.split())
    assert plan.endswith(f"approach, recede, wave {words} configuration and model are right")
    assert plan.count("again at once") == 1
    zoned.write_text(zoned.read_text() + f"[decide]{limits}")
    plan = " ".join(here("check", "--config", zoned).stdout.split())
    assert plan.endswith("approach, recede, wave configuration and model are right")


def test_every_limit_that_a_zone_may_have_is_in_its_plan() -> None:
    """The thresholds and the cool-down are in one text, the chosen actions in another."""
    elsewhere = {"enter_threshold", "exit_threshold", "cool_down_s", "only", "ignore"}
    assert set(FURTHER_LIMITS) == set(ZoneDecideConfig.model_fields) - elsewhere
    off = DecideConfig(smoothing_s=0, max_length_s=0, several=False)
    words = [FURTHER_LIMITS[key](off) for key in ("smoothing_s", "max_length_s", "several")]
    assert words == ["not averaged", "of any length", "one at a time"]


def test_the_plan_has_every_model_and_precision_that_a_zone_names(here: Run, model_copy: Path, tmp_path: Path) -> None:
    edit_manifest(model_copy, lambda content: content.update(id="hands"))
    result = here("check", "--config", zoned_site(tmp_path, keys='model = "model"\nprecision = "int8"'))
    assert result.returncode == 0, result.stderr
    plan = " ".join(result.stdout.split())
    first, second = plan.split(" broker ")[0].split(" model ")[1:]
    assert first.startswith("motion: 8 labels")
    assert "runs as fp32 on CPU, self-test passed memory" in first
    assert second.startswith("hands: 8 labels, /")
    assert "runs as int8 on CPU, self-test passed memory" in second
    assert "parity outside limits: 142 clips" in second
    assert "[0.3, 0.8], a clip every 0.53 s, hands in int8 reported:" in plan
    assert plan.endswith("configuration and models are right")


def test_an_action_of_one_model_may_be_background_of_another(here: Run, model_copy: Path, tmp_path: Path) -> None:
    """The plan shows it where it is reported only."""
    edit_manifest(model_copy, lambda content: content.update(id="hands", background=[]))
    zoned = zoned_site(tmp_path, keys='model = "model"')
    zoned.write_text(zoned.read_text() + '[[decide.action]]\nname = "still"\nenter_threshold = 0.9\n')
    result = here("check", "--config", zoned)
    assert result.returncode == 0, result.stderr
    first, second = " ".join(result.stdout.split()).split(" broker ")[0].split(" model ")[1:]
    assert "reported left, right," in first
    assert "reported still, left, right," in second


def test_a_model_of_a_zone_that_is_wrong_is_refused_by_its_own_key(here: Run, tmp_path: Path) -> None:
    result = here("check", "--config", zoned_site(tmp_path, keys='model = "gone"'))
    assert_refused(result, 78, "site.toml:15: camera[0].zone[1].model = 'gone'")
    result = here("check", "--config", zoned_site(tmp_path, keys='precision = "fp16"'))
    assert_refused(result, 78, "site.toml:15: camera[0].zone[1].precision = 'fp16'", "has: fp32")


def test_zones_that_are_too_small_in_a_video_file_are_errors(
    here: Run, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    """The file is 128 x 96. It is looked at only because its camera has zones."""
    make_video(frames=3)
    assert_refused(
        here("check", "--config", zoned_site(tmp_path, "video.mp4")),
        78,
        "site.toml:8: camera[0].zone[0].region: 64x24 pixels of the picture of 128x96; a zone needs at least 32x32: "
        "enlarge it, or take a larger stream",
    )
    make_video(frames=3, height=64)
    result = here("check", "--config", zoned_site(tmp_path, "video.mp4", keys="motion_gate = false"))
    assert_refused(result, 78, "site.toml:8: camera[0].zone[0].region: 64x16 pixels")
    assert "zone[1]" not in result.stderr
    make_video(frames=3, height=128)
    assert here("check", "--config", zoned_site(tmp_path, "video.mp4")).returncode == 0
    (tmp_path / "video.mp4").write_bytes((tmp_path / "video.mp4").read_bytes()[:600])
    assert_refused(here("check", "--config", zoned_site(tmp_path, "video.mp4")), 78, "camera[0].source: ", "video.mp4")


def test_more_models_than_memory_names_the_model_that_does_not_fit(model_copy: Path, tmp_path: Path) -> None:
    """For real: the address space ends 12 MB above what the process uses once the first model is open.

    With 40 MB OpenVINO failed while it compiled the second half, and ended the process by SIGSEGV in one of 12 runs.
    """
    program = (
        "import resource, sys; from pathlib import Path; from edge_tdn.__main__ import main\n"
        "from edge_tdn.inference import open_model\n"
        "open_first, opened = open_model.open_configured_runtime, []\n"
        "def open_limited(*given):\n"
        "    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "    if opened: resource.setrlimit(resource.RLIMIT_AS, (used + (12 << 20), -1))\n"
        "    opened.append(open_first(*given))\n"
        "    return opened[-1]\n"
        "open_model.open_configured_runtime = open_limited\n"
        "sys.exit(main(['check', '--config', sys.argv[1]]))\n"
    )
    path = zoned_site(tmp_path, keys='model = "model"')
    edit_manifest(model_copy, lambda content: content.update(id="hands"))
    path.write_text("[runtime]\nthreads = 1\n" + path.read_text())
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert_refused(done, 71, "device CPU ran out of memory, ", f"{model_copy}", "take a smaller model")
