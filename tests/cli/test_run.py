"""`edge-tdn run`: what ends the daemon, and what it warns of. Exit statuses: test_main.py."""

import logging
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_tdn.config.load import load
from edge_tdn.errors import EdgeTdnError
from edge_tdn.manifest import shipped_models
from edge_tdn.service.daemon import Daemon
from edge_tdn.shell import command
from tests.support.command_line import Run, camera_site
from tests.support.model_folders import edit_manifest

PARITY = command("edge-tdn-export", "parity")


def cuda_is_available() -> bool:
    import torch

    return torch.cuda.is_available()


def serve(config: Path) -> None:
    """Run the daemon of `edge-tdn run` in this process, until it ends."""
    Daemon(load(config), config.parent, config).run()


def failure_of(config: Path) -> EdgeTdnError:
    with pytest.raises(EdgeTdnError) as raised:
        serve(config)
    return raised.value


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_an_outbox_that_is_a_file_is_exit_78(folder: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = failure_of(camera_site(tmp_path, f'[outbox]\nfolder = "{folder}"'))
    assert error.exit_status == 78
    assert "outbox" in str(error)
    assert str(tmp_path / "file") in str(error)


def test_an_unknown_kind_of_source_is_exit_78(tmp_path: Path) -> None:
    error = failure_of(camera_site(tmp_path, source="rtps://x/y"))
    assert error.exit_status == 78
    assert "rtps://" in str(error)
    assert "rtsp://" in str(error)


def test_a_model_whose_file_has_changed_is_exit_78(model_copy: Path, tmp_path: Path) -> None:
    raw = bytearray((model_copy / "fp32/head.bin").read_bytes())
    raw[1000] ^= 4
    (model_copy / "fp32/head.bin").write_bytes(raw)
    error = failure_of(camera_site(tmp_path, '[runtime]\nmodel = "model"'))
    assert error.exit_status == 78
    assert "head.bin: content changed since export" in str(error)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            'model = "motino"',
            "site.toml:2: runtime.model = 'motino': {}/motino: no such model folder; did you mean 'motion'?",
        ),
        (
            'model = "golden.npz"',
            "site.toml:2: runtime.model = 'golden.npz': {}/golden.npz: is a file, not a model folder",
        ),
        ('precision = "fp16"', "site.toml:2: runtime.precision = 'fp16': the model motion has: fp32, bf16, int8"),
        (
            'device = "Cuda"',
            "site.toml:2: runtime.device = 'CUDA': {models}/motion: has no graphs for CUDA in fp32; convert",
        ),
    ],
)
def test_a_wrong_model_precision_or_device_is_exit_78_with_file_line_and_advice(
    line: str, message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "golden.npz", clip=np.zeros(3))
    error = failure_of(camera_site(tmp_path, f"[runtime]\n{line}"))
    assert error.exit_status == 78
    assert message.format(tmp_path, models=shipped_models()) in str(error)


def test_a_device_that_was_not_chosen_is_not_blamed_on_its_key(model_copy: Path, tmp_path: Path) -> None:
    """A folder for CUDA alone, and `device` is left at `auto`: its advice would be what is in force."""
    if cuda_is_available():
        pytest.skip("this host has CUDA")

    def only_cuda(content: dict[str, Any]) -> None:
        content["precisions"] = {"cuda-fp32": content["precisions"]["fp32"]}

    edit_manifest(model_copy, only_cuda)
    error = failure_of(camera_site(tmp_path, f'[runtime]\nmodel = "{model_copy}"'))
    assert error.exit_status == 78
    assert "CUDA" in str(error)
    assert "runtime.device" not in str(error)


def test_a_missing_device_is_exit_78_and_the_devices_are_listed(tmp_path: Path) -> None:
    error = failure_of(camera_site(tmp_path, '[runtime]\ndevice = "npu.9"'))
    assert error.exit_status == 78
    assert "site.toml:2: runtime.device = 'NPU.9': device 'NPU.9' is not available; OpenVINO finds:" in str(error)
    assert "CPU" in str(error)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("notes.mp4", "text file"),
        ("empty.mp4", "the file is empty"),
        ("tone.ogg", "no video"),
        ("half.mp4", "damaged: ends at"),
        ("~no-such-user/x.mp4", "home"),
        ("a\\u0000b", "null"),
    ],
)
def test_the_reason_why_the_only_source_cannot_be_played_is_one_line(
    source: str, reason: str, make_video: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
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
    error = failure_of(camera_site(tmp_path, source=source))
    assert error.exit_status == 66, error
    assert reason in str(error)
    assert len(str(error).splitlines()) == 1
    assert not [record for record in caplog.records if record.exc_info]


def change_parity(content: dict[str, Any], change: dict[str, object] | None) -> None:
    """Change the parity record of FP32 in a manifest, or remove it."""
    if change is None:
        del content["parity"]["fp32"]
    else:
        content["parity"]["fp32"].update(change)


@pytest.mark.parametrize(
    ("change", "warning", "shown"),
    [
        ({}, "", "equal: 142 clips of 16 recordings; compared with PyTorch on CPU"),
        (None, f"not compared with PyTorch; `{PARITY}", "not compared with PyTorch"),
        ({"within_limits": False, "max_logit_error": 0.2}, "outside limits: 142 clips of", "outside limits: 142 clips"),
        ({"within_limits": False, "max_logit_error": None}, "outside limits", "logits not finite"),
        ({"device": "GPU"}, "equal: 142 clips of", "compared with PyTorch on GPU"),
        (
            {"clips": 5, "recordings": 1},
            "too few clips: 5 clips of 1 recording,",
            "at least 50 of 3 are needed",
        ),
        ({"differing": 2, "same_events": False}, "", "142 clips of 16 recordings, other events in 2 of them"),
    ],
    ids=["equal", "never compared", "outside", "not finite", "another device", "few clips", "other events"],
)
def test_a_precision_in_doubt_is_a_warning_of_run_and_its_verdict_is_shown_by_check(
    change: dict[str, object] | None,
    warning: str,
    shown: str,
    here: Run,
    model_copy: Path,
    make_video: Callable[..., Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    edit_manifest(model_copy, lambda content: change_parity(content, change))
    config = camera_site(tmp_path, f'[runtime]\nmodel = "{model_copy}"', str(make_video(6)))
    checked = here("check", "--config", config)
    assert checked.returncode == 0, checked.stderr
    assert shown in " ".join(checked.stdout.split())
    serve(config)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    warnings = [line for line in warnings if "model=motion" in line]
    assert len(warnings) == (1 if warning else 0)
    assert warning in "".join(warnings)


def test_a_warning_of_run_is_a_line_on_stderr(
    edge_tdn: Run, model_copy: Path, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    edit_manifest(model_copy, lambda content: change_parity(content, None))
    result = edge_tdn("run", "--config", camera_site(tmp_path, '[runtime]\nmodel = "model"', str(make_video(6))))
    (line,) = [line for line in result.stderr.splitlines() if "WARNING" in line and "model=motion" in line]
    assert "not compared with PyTorch" in line
