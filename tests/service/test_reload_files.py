"""SIGHUP with a configuration of several files: included files are read again, and the log changes as they say."""

import json
import signal
from pathlib import Path

import pytest

from edge_tdn.media import gstreamer
from tests.support.broker import Mosquitto
from tests.support.daemon import DaemonProcess
from tests.support.site import write_site
from tests.support.waiting import eventually

BALL = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=15/1"
CAMERA = f'name = "live"\nsource = "gst: {BALL}"'  # not a looped file, which is opened again at its end
pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")


def test_a_reload_reads_included_files_again_and_applies_the_log_settings(broker: Mosquitto, tmp_path: Path) -> None:
    """The camera keeps running. A variable that is not set is refused, with the file in which it stands."""
    fleet = tmp_path / "fleet.toml"
    fleet.write_text('[decide]\nenter_threshold = 0.9\n[log]\nformat = "json"\n')
    config = write_site(tmp_path, broker.url, CAMERA)
    config.write_text(f'include = ["fleet.toml"]\n{config.read_text()}')
    with DaemonProcess(config) as daemon:
        daemon.wait_for_log('"state": "streaming"')
        lines = [json.loads(line) for line in daemon.log().splitlines()]
        assert {"serving", "model"} <= {word.split("=")[0] for line in lines for word in line["message"].split()}
        (streaming,) = [line for line in lines if line.get("state") == "streaming"]
        assert (streaming["camera"], streaming["level"]) == ("live", "info")

        fleet.write_text('[decide]\nenter_threshold = "${FLEET_ENTER}"\n')
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_log("refused, the one before stays in force")
        (refused,) = [json.loads(line) for line in daemon.log().splitlines() if "refused, the one before" in line]
        assert f"{fleet}:2: decide.enter_threshold = '${{FLEET_ENTER}}': the environment" in refused["message"]
        assert (refused["level"], refused["config"]) == ("error", str(config))

        fleet.write_text('[decide]\nenter_threshold = 0.8\n[log]\nlevel = "debug"\n')
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: " DEBUG camera=live clip label=" in daemon.log(), describe=daemon.log)
        changed = "in force: changed: decide.enter_threshold, log.level, log.format"
        daemon.wait_for_log(changed)
        (line,) = [line for line in daemon.log().splitlines() if changed in line]
        assert " INFO config=" in line or json.loads(line)["level"] == "info"
        assert daemon.log().count("state=streaming") == 1
        assert daemon.terminate() == 0


def test_a_start_and_a_reload_warn_of_a_pattern_without_a_match_and_refuse_a_missing_folder(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """Without the files that all hosts share, the broker would be another one."""
    config = write_site(tmp_path, broker.url, CAMERA)
    (tmp_path / "conf.d").mkdir()
    site = config.read_text()
    config.write_text(f'include = ["conf.d/*.toml"]\n{site}')
    warning = "include[0] = 'conf.d/*.toml': matches no file"
    with DaemonProcess(config) as daemon:
        daemon.wait_for_log("state=streaming")
        assert daemon.log().count(warning) == 1
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_log("in force: no change")
        assert daemon.log().count(warning) == 2
        config.write_text(f'include = ["confd/*.toml"]\n{site}')
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_log("refused, the one before stays in force")
        assert "create the folder; did you mean 'conf.d'?" in daemon.log()


def test_verbose_logs_debug_lines_whatever_the_configuration_says(broker: Mosquitto, tmp_path: Path) -> None:
    config = write_site(tmp_path, broker.url, CAMERA, extra='[log]\nlevel = "error"')
    with DaemonProcess(config, "--verbose") as daemon:
        daemon.wait_for_log(" DEBUG camera=live clip label=")


def test_a_wrong_model_is_reported_in_the_configured_format(tmp_path: Path) -> None:
    config = write_site(tmp_path, "mqtt://127.0.0.1:1", CAMERA, extra='[log]\nformat = "json"\n[runtime]\nmodel = "no"')
    with DaemonProcess(config) as daemon:
        assert daemon.wait() == 78
        (line,) = daemon.log().splitlines()
    error = json.loads(line)
    assert error["level"] == "error"
    assert "no: no such model folder" in error["message"]
