"""Opening a runtime: the device that `auto` takes, and errors when none works or memory runs out."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from edge_tdn.errors import ModelError
from edge_tdn.inference import openvino as ov_runtime
from edge_tdn.inference.open_runtime import AUTO, candidates, open_runtime
from edge_tdn.inference.openvino import devices
from edge_tdn.manifest import Model, open_model
from tests.conftest import without_the_processor
from tests.support.model_folders import Content, edit_manifest


def with_cuda(folder: Path) -> Model:
    """Return a model whose manifest lists CUDA programs too; there are none, and these tests never read them."""

    def add(content: Content) -> None:
        content["precisions"]["cuda-fp32"] = {**content["precisions"]["fp32"], "format": "torch"}

    edit_manifest(folder, add)
    return open_model(folder)


def test_auto_takes_the_first_device_that_works_and_logs_why_others_were_skipped(
    motion: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ov_runtime, "devices", lambda: ["GPU", "CPU"])  # the GPU has been removed when it is opened
    runtime = open_runtime(motion, device=AUTO, threads=1)
    runtime.close()
    assert runtime.device == "CPU"
    (line,) = without_the_processor(r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING)
    assert line.startswith("device=GPU precision=fp32 skipped: device 'GPU' is not available")


def test_auto_tries_cuda_only_if_the_folder_has_programs_for_it(motion: Model, model_copy: Path) -> None:
    assert candidates(motion, "fp32") == devices()
    assert candidates(with_cuda(model_copy), "fp32") == ["CUDA", *devices()]
    with pytest.raises(ModelError, match=r"no precision 'fp16'; this model has: fp32"):
        candidates(motion, "fp16")


def test_a_host_without_cuda_runs_a_folder_with_cuda_programs_on_another_device(
    model_copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    runtime = open_runtime(with_cuda(model_copy), device=AUTO, threads=1)
    runtime.close()
    assert runtime.device == "CPU"
    assert "device=CUDA precision=fp32 skipped: device CUDA is not available" in caplog.text


def test_auto_raises_the_error_of_the_last_device(motion: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ov_runtime, "devices", lambda: ["NPU", "GPU"])
    with pytest.raises(ModelError, match=r"device 'GPU' is not available; OpenVINO finds: .*CPU"):
        open_runtime(motion, device=AUTO)


def test_opening_without_enough_memory_is_a_device_error(motion: Model) -> None:
    """For real: the address space ends 40 MB above what the process uses before it compiles."""
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from edge_tdn.manifest import open_model; from edge_tdn.inference.open_runtime import open_runtime\n"
        "model = open_model(Path(sys.argv[1]))\n"
        "first = open_runtime(model, threads=1)\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (40 << 20), -1))\n"
        "try: open_runtime(model, threads=1)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(motion.folder)], capture_output=True, text=True)
    assert done.stdout.startswith("DeviceError device CPU ran out of memory, "), done.stderr
    assert "smaller model" in done.stdout
