"""`edge-tdn check`: the plan of a configuration, or what is wrong with it."""

import re
from pathlib import Path

import pytest
from rich.console import Console

from edge_tdn.cli.check import check
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
