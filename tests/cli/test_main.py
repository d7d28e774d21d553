"""The command line: what it prints, how it exits, and that no user ever sees a traceback."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from edge_tdn import __version__
from edge_tdn.__main__ import main
from edge_tdn.config.tables import load
from edge_tdn.delivery.mqtt import Message
from edge_tdn.demo.demo_clip import ACTION_S, RATE, STILL_S, demo_clip
from edge_tdn.errors import EdgeTdnError
from edge_tdn.service.daemon import Daemon
from tests.support.broker import Mosquitto
from tests.test_manifest import edit, rehash

Run = Callable[..., subprocess.CompletedProcess[str]]


def site(folder: Path, text: str = "", source: str = "demo:") -> Path:
    path = folder / "site.toml"
    path.write_text(f'{text}\n[[camera]]\nname = "a"\nsource = "{source}"\n')
    return path


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Run:
    """As `edge_tdn`, in this process: for commands that leave signals alone."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        status = main([*map(str, arguments)])
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, said.out, said.err)

    return run


def served(config: Path) -> EdgeTdnError:
    """What ends the daemon of `edge-tdn run`, in this process."""
    with pytest.raises(EdgeTdnError) as ended:
        Daemon(load(config), config.parent, config).run()
    return ended.value


def refused(result: subprocess.CompletedProcess[str], status: int, *said: str) -> None:
    assert result.returncode == status, result.stderr
    assert "Traceback" not in result.stderr
    assert re.search("^edge-tdn: ", result.stderr, re.M)
    for part in said:
        assert part in result.stderr


def test_check_prints_the_plan(edge_tdn: Run, tmp_path: Path) -> None:
    result = edge_tdn("check", "--config", site(tmp_path, 'host = "barn"'))
    assert result.returncode == 0, result.stderr
    for part in ("motion: 8 labels", "fp32 on CPU, self-test passed", "edge-tdn/barn/", "a decision every 0.27 s"):
        assert part in result.stdout


def test_check_tells_groups_thresholds_and_where_things_go(edge_tdn: Run, tmp_path: Path) -> None:
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
    result = edge_tdn("check", "--config", site(tmp_path, text))
    assert result.returncode == 0, result.stderr
    told = " ".join(result.stdout.split())
    for part in (
        "sideways (left + right)",
        "starts at 0.6, ends below 0.3; sideways 0.5 and 0.3",
        "nothing: snapshot and clip are false",
        "by device, homeassistant/...",
        "http://127.0.0.1:9464/metrics",
    ):
        assert part in told
    assert not (tmp_path / "outbox").exists()


@pytest.mark.parametrize("folder", ["file", "file/below"])
@pytest.mark.parametrize("command", ["check", "run"])
def test_an_outbox_that_is_a_file_is_exit_78(command: str, folder: str, edge_tdn: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = edge_tdn(command, "--config", site(tmp_path, f'[outbox]\nfolder = "{folder}"'))
    refused(result, 78, "outbox", f"{tmp_path / 'file'}")


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_misspelt_key_is_exit_78_with_the_nearest_spelling(
    command: str, edge_tdn: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told soon: before what computes is even loaded."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    result = edge_tdn(command, "--config", site(tmp_path, "[decide]\nenter_treshold = 0.5"))
    refused(result, 78, "site.toml:2: decide.enter_treshold: unknown key; did you mean 'enter_threshold'?")
    assert re.search(r"\| +edge_tdn\.config$", result.stderr, re.M)
    assert not re.search(r"\| +openvino", result.stderr)


def test_check_names_a_file_that_is_not_there(edge_tdn: Run, tmp_path: Path) -> None:
    refused(
        edge_tdn("check", "--config", site(tmp_path, source="gone.mp4")), 78, "camera[0].source", "gone.mp4: No such"
    )


@pytest.mark.parametrize("command", ["check", "run"])
def test_an_unknown_kind_of_source_is_exit_78(command: str, edge_tdn: Run, tmp_path: Path) -> None:
    refused(edge_tdn(command, "--config", site(tmp_path, source="rtps://x/y")), 78, "rtps://", "rtsp://")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("notes.mp4", "text file"),
        ("empty.mp4", "the file is empty"),
        ("tone.ogg", "no video"),
        ("half.mp4", "damaged: ends at"),
        ("~nobody-of-that-name/x.mp4", "home"),
        ("a\\u0000b", "null"),
    ],
)
def test_run_says_why_its_only_source_cannot_be_played(
    source: str, said: str, make_video: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    match source:
        case "notes.mp4":
            (tmp_path / source).write_text("not a video at all\n" * 200)
        case "empty.mp4":
            (tmp_path / source).touch()
        case "tone.ogg":
            tone = f"audiotestsrc num-buffers=50 ! vorbisenc ! oggmux ! filesink location={tmp_path / source}"
            subprocess.run(["gst-launch-1.0", "-q", *tone.split()], check=True)
        case "half.mp4":
            video, fast = make_video(frames=60, rate=15), tmp_path / "fast"
            mux = f"filesrc location={video} ! qtdemux ! mp4mux faststart=true ! filesink location={fast}"
            subprocess.run(["gst-launch-1.0", "-q", *mux.split()], check=True)
            whole = fast.read_bytes()
            (tmp_path / source).write_bytes(whole[: len(whole) * 3 // 4])
    error = served(site(tmp_path, source=source))
    assert error.exit_status == 66, error
    assert said in str(error)
    assert len(str(error).splitlines()) == 1
    assert not [record for record in caplog.records if record.exc_info]


def test_the_last_line_of_run_is_why_it_has_no_pictures(edge_tdn: Run, tmp_path: Path) -> None:
    result = edge_tdn("run", "--config", site(tmp_path, source="gone.mp4"))
    assert result.returncode == 66, result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("edge-tdn: ")
    assert "No such file" in last
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_model_whose_file_changed_is_exit_78(command: str, edge_tdn: Run, model_copy: Path, tmp_path: Path) -> None:
    raw = bytearray((model_copy / "fp32/head.bin").read_bytes())
    raw[1000] ^= 4
    (model_copy / "fp32/head.bin").write_bytes(raw)
    result = edge_tdn(command, "--config", site(tmp_path, '[runtime]\nmodel = "model"'))
    refused(result, 78, "head.bin: content changed since export")


def test_a_label_too_many_with_a_manifest_to_match_is_exit_78(edge_tdn: Run, model_copy: Path, tmp_path: Path) -> None:
    """Nine labels and nine classes, but the network has eight logits."""
    with (model_copy / "labels.txt").open("a") as file:
        file.write("ninth\n")
    rehash(model_copy, "labels.txt")
    edit(model_copy, lambda content: content.update(classes=9))
    result = edge_tdn("check", "--config", site(tmp_path, '[runtime]\nmodel = "model"'))
    refused(result, 78, "golden.npz", "the manifest says")


def test_check_tries_what_can_be_tried_without_connecting(edge_tdn: Run, tmp_path: Path) -> None:
    refused(
        edge_tdn("check", "--config", site(tmp_path, source="gst: nosuchelement")), 78, 'no element "nosuchelement"'
    )
    opencv = site(tmp_path, source="gst: videotestsrc")
    opencv.write_text(opencv.read_text() + 'decoder = "opencv"\n')
    refused(edge_tdn("check", "--config", opencv), 78, "gst: needs the decoder gstreamer")


def test_labels_with_brackets_are_printed_as_they_are(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from rich.console import Console

    from edge_tdn.cli.check import check

    with pytest.raises(Exception, match=r"\[/off\]"):
        check(Console(markup=False), site(tmp_path, source="[/off].mp4"))


def test_a_label_count_that_differs_is_exit_78(edge_tdn: Run, model_copy: Path, tmp_path: Path) -> None:
    (model_copy / "labels.txt").write_text("one\ntwo\n")
    rehash(model_copy, "labels.txt")
    edit(model_copy, lambda content: content.update(background=[]))
    result = edge_tdn("check", "--config", site(tmp_path, '[runtime]\nmodel = "model"'))
    refused(result, 78, "2 labels, but the model has 8 classes")


def _parity(content: dict, change: dict | None) -> None:  # type: ignore[type-arg]
    """Takes the record of FP32 away, or changes it."""
    if change is None:
        del content["parity"]["fp32"]
    else:
        content["parity"]["fp32"].update(change)


@pytest.mark.parametrize(
    ("record", "warned", "shown"),
    [
        ({}, "", "proven equal to PyTorch on CPU, 128 clips"),
        (None, "was never proven equal to PyTorch; `edge-tdn-export parity", "never compared with PyTorch"),
        (
            {"proven": False, "max_logit_error": 0.2},
            "differs from PyTorch by more than its limit",
            "NOT equal to PyTor",
        ),
        (
            {"device": "GPU"},
            "was proven equal to PyTorch on GPU, not on CPU",
            "proven equal to PyTorch on GPU, 128 clips",
        ),
        ({"proven": False, "max_logit_error": None}, "differs from PyTorch", "logits not finite"),
    ],
)
def test_run_warns_of_a_precision_that_was_not_proven_and_check_shows_it(
    record: dict[str, object] | None, warned: str, shown: str, here: Run, model_copy: Path,
    make_video: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    edit(model_copy, lambda content: _parity(content, record))
    config = site(tmp_path, f'[runtime]\nmodel = "{model_copy}"', str(make_video(6)))
    checked = here("check", "--config", config)
    assert checked.returncode == 0, checked.stderr
    assert shown in " ".join(checked.stdout.split())
    Daemon(load(config), tmp_path, config).run()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    warnings = [line for line in warnings if "model=motion" in line]
    assert len(warnings) == (1 if warned else 0)
    assert warned in "".join(warnings)


def test_what_run_warns_of_is_a_line_on_stderr(
    edge_tdn: Run, model_copy: Path, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    edit(model_copy, lambda content: _parity(content, None))
    ran = edge_tdn("run", "--config", site(tmp_path, '[runtime]\nmodel = "model"', str(make_video(6))))
    (line,) = [line for line in ran.stderr.splitlines() if "WARNING" in line and "model=motion" in line]
    assert "was never proven equal to PyTorch" in line


def test_a_device_that_is_not_there_is_exit_78(edge_tdn: Run, tmp_path: Path) -> None:
    result = edge_tdn("run", "--config", site(tmp_path, '[runtime]\ndevice = "NPU9"'))
    refused(result, 78, "device 'NPU9' is not here; OpenVINO finds:", "CPU")


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        ("MemoryError()", 71, "device CPU ran out of memory, computing a clip: MemoryError; take a smaller model"),
        (
            "RuntimeError('at x.cpp:1\\n[GPU] CL_OUT_OF_HOST_MEMORY')",
            71,
            "computing a clip: [GPU] CL_OUT_OF_HOST_MEMORY; take",
        ),
        (
            "ZeroDivisionError('division by zero')",
            1,
            "stopped: ZeroDivisionError: division by zero; the log says where",
        ),
    ],
)
def test_a_device_that_fails_while_it_serves_ends_the_daemon_with_one_line(
    error: str, status: int, said: str, tmp_path: Path
) -> None:
    """The fault is injected into the real runtime's first clip; everything around it is the daemon."""
    program = (
        "import sys; from edge_tdn.__main__ import main; from edge_tdn.inference.openvino import OpenVinoRuntime\n"
        f"def classify(*_): raise {error}\n"
        "OpenVinoRuntime.classify = classify\n"
        "import edge_tdn.inference.open_runtime; edge_tdn.inference.open_runtime._self_test = lambda *_: None\n"
        "sys.exit(main(['run', '--config', sys.argv[1]]))"
    )
    command = [sys.executable, "-c", program, str(site(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("edge-tdn: ")]
    assert said in line
    assert done.stderr.splitlines()[-1] == line


def test_watch_without_a_broker_says_so(here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_tdn.cli.watch.CONNECT_S", 1.0)
    refused(here("watch", "--broker", "mqtt://127.0.0.1:1"), 69, "127.0.0.1:1", "is a broker running there?")
    refused(here("watch", "--broker", "tcp://x"), 78, "broker.url = 'tcp://x'", "mqtt://HOST")
    refused(here("watch", "--base", "edge-tdn/x/"), 78, "--base 'edge-tdn/x/'", "without / at its ends")


@pytest.mark.parametrize("base", ["edge-tdn/#", "/edge-tdn", "edge-tdn//x", "edge+/x", ""])
def test_a_base_that_nobody_can_speak_under_is_refused(base: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--base", base]) == 78
    assert f"--base {base!r}: a topic without / at its ends, in which +" in capsys.readouterr().err


def test_help_teaches_and_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["--help"],
        ["--version"],
        *([name, "--help"] for name in ("demo", "run", "check", "bench", "watch")),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "first steps" in text
    assert f"edge-tdn {__version__}" in text


def demo_until(said: str, *arguments: str | Path, interrupts: int = 1) -> subprocess.CompletedProcess[str]:
    """The demo, ended by Ctrl-C when it has printed this."""
    command = [sys.executable, "-m", "edge_tdn", "demo", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        output = ""
        while line := process.stdout.readline():
            output += line
            if said in line:
                break
        for number in range(interrupts):
            time.sleep(0.1 * (number > 0))
            process.send_signal(signal.SIGINT)
        output += process.stdout.read()
        return subprocess.CompletedProcess(command, process.wait(60), output, process.stderr.read())


def test_the_demo_brings_its_own_broker_and_recognises(tmp_path: Path) -> None:
    result = demo_until("start  right", "--screenshot", tmp_path / "view.svg")
    assert result.returncode == 0, result.stderr
    assert "(embedded)" in result.stdout
    lines = [line for line in result.stdout.splitlines() if "  demo  " in line]
    assert any("start  right" in line for line in lines)
    assert "actions recognised: right 1" in result.stdout
    assert "<svg" in (tmp_path / "view.svg").read_text()


def test_the_demo_draws_its_view_in_a_terminal() -> None:
    """In a real pseudo-terminal: the picture in half blocks, the camera's state, scores and events."""
    import pty

    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "110", "LINES": "50"}
    command = [sys.executable, "-m", "edge_tdn", "demo"]
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    awaited = {"▀", "streaming", "fps", "motion fp32 on CPU", "still", "start", "right"}
    output, shown = b"", False
    while True:
        try:
            output += os.read(leader, 65536)
        except OSError:  # the terminal's other end has closed
            break
        if not shown and all(part.encode() in output for part in awaited):
            shown = True
            process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert shown, output


def test_the_demo_with_a_real_broker_and_watch_beside_it(broker: Mosquitto) -> None:
    connection, link = broker.link()
    link.publish(Message("edge-tdn/early/availability", b"online", retain=True))  # heard by who has subscribed
    command = [sys.executable, "-m", "edge_tdn", "watch", "--broker", broker.url, "--json"]
    watch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert watch.stdout
        heard = [json.loads(watch.stdout.readline())]
        assert heard[0]["topic"] == "edge-tdn/early/availability"
        assert demo_until("start  right", "--broker", broker.url).returncode == 0
        while heard[-1]["message"] != "stopped":
            heard.append(json.loads(watch.stdout.readline()))
        watch.send_signal(signal.SIGINT)
        assert watch.wait(60) == 0
    finally:
        watch.kill()
        connection.close()
    events = [h["message"] for h in heard if h["topic"].endswith("/events") and h["message"]["type"] == "start"]
    assert events[0]["label"] == "right"


def test_the_demo_tells_a_source_or_broker_that_fails(edge_tdn: Run, here: Run, tmp_path: Path) -> None:
    refused(edge_tdn("demo", "--source", tmp_path / "gone.mp4"), 66, "gone.mp4: No such file")
    refused(edge_tdn("demo", "--broker", "mqtt://127.0.0.1:1", "--seconds", "3"), 69, "127.0.0.1:1", "refused")
    refused(here("demo", "--broker", "tcp://x"), 78, "edge-tdn demo: broker.url = 'tcp://x'", "mqtt://HOST")
    refused(here("demo", "--source", ""), 78, "camera[0].source = ''")


def test_the_installed_command_is_there() -> None:
    program = shutil.which("edge-tdn", path=str(Path(sys.executable).parent))
    assert program, "pip install -e . was not run in this environment"
    assert subprocess.run([program, "--version"], capture_output=True, check=True).stdout.startswith(b"edge-tdn ")


def test_a_second_ctrl_c_does_not_break_into_the_goodbye() -> None:
    result = demo_until("demo: streaming", interrupts=3)
    assert result.returncode == 0
    assert "actions recognised" in result.stdout


@pytest.mark.parametrize("source", ["/dev/video99", "rtsp://127.0.0.1:1/x"])
def test_a_demo_without_a_picture_says_why(source: str) -> None:
    result = demo_until("demo: unreachable", "--source", source)
    refused(result, 66, "no picture", source)
    assert "demo: unreachable" in result.stdout


def test_a_damaged_demo_clip_is_drawn_anew(tmp_path: Path) -> None:
    """A short one, so that it takes no longer than it must."""
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


def test_a_full_disk_ends_the_drawing_with_a_message(tmp_path: Path) -> None:
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path]).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
        command = [sys.executable, "-m", "edge_tdn", "demo", "--seconds", "3"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        refused(done, 1, "cannot be written")
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("seconds", ["nan", "-1", "inf", "soon"])
def test_odd_seconds_are_refused(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--seconds", seconds])
    assert ended.value.code == 2
    assert "--seconds" in capsys.readouterr().err
