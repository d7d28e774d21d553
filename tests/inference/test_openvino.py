"""Which device a model runs on, in which arithmetic, and what is said where it cannot."""

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import openvino as ov
import pytest

from edge_tdn.errors import ModelError
from edge_tdn.inference import openvino as ov_runtime
from edge_tdn.inference.cpu_features import cpu_flags
from edge_tdn.inference.open_runtime import AUTO, candidates, open_runtime
from edge_tdn.inference.openvino import EXECUTION, _arithmetic, arithmetic_for, devices, prepared_graph
from edge_tdn.inference.runtime import is_out_of_memory
from edge_tdn.manifest import Model, open_model
from tests.conftest import needs_bf16, without_the_processor
from tests.support.model_folders import edit_manifest

CPU_WITHOUT_BF16 = ("WINOGRAD", "FP32", "INT8", "BIN", "EXPORT_IMPORT")
NPU = ("FP16", "INT8", "EXPORT_IMPORT")


class Host:
    """As much of OpenVINO as says which devices are here, and what they can."""

    def __init__(self, **devices: Sequence[str]) -> None:
        self.available_devices = list(devices)
        self._can = devices

    def get_property(self, device: str, name: str) -> Sequence[str]:
        assert name == "OPTIMIZATION_CAPABILITIES"
        return self._can[device]


def with_cuda(folder: Path) -> Model:
    """A model that has CUDA programs too; they are none, but nobody comes to read them here."""

    def add(content: dict) -> None:  # type: ignore[type-arg]
        content["precisions"]["cuda-fp32"] = {**content["precisions"]["fp32"], "format": "torch"}

    edit_manifest(folder, add)
    return open_model(folder)


def test_auto_takes_the_first_that_works_and_says_why_not_the_others(
    motion: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ov_runtime, "devices", lambda: ["GPU", "CPU"])  # a GPU that is gone when it is wanted
    runtime = open_runtime(motion, device=AUTO, threads=1)
    runtime.close()
    assert runtime.device == "CPU"
    (line,) = without_the_processor(r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING)
    assert line.startswith("device=GPU precision=fp32 skipped: device 'GPU' is not here")


def test_auto_tries_cuda_only_where_the_folder_has_programs_for_it(motion: Model, model_copy: Path) -> None:
    assert candidates(motion, "fp32") == devices()
    assert candidates(with_cuda(model_copy), "fp32") == ["CUDA", *devices()]
    with pytest.raises(ModelError, match=r"no precision 'fp16'; this model has: fp32"):
        candidates(motion, "fp16")


def test_a_host_without_cuda_runs_a_folder_that_has_programs_for_it(
    model_copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    runtime = open_runtime(with_cuda(model_copy), device=AUTO, threads=1)
    runtime.close()
    assert runtime.device == "CPU"
    assert "device=CUDA precision=fp32 skipped: device CUDA is not here" in caplog.text


def test_the_error_of_the_last_device_is_told(motion: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ov_runtime, "devices", lambda: ["NPU", "GPU"])
    with pytest.raises(ModelError, match=r"device 'GPU' is not here; OpenVINO finds: .*CPU"):
        open_runtime(motion, device=AUTO)


@pytest.mark.parametrize(
    ("precision", "capable", "arithmetic"),
    [
        ("fp32", CPU_WITHOUT_BF16, "f32"),
        ("fp16", CPU_WITHOUT_BF16, "f32"),
        ("int8", CPU_WITHOUT_BF16, "f32"),
        ("bf16", CPU_WITHOUT_BF16, ""),
        ("bf16", ("BF16", *CPU_WITHOUT_BF16), "bf16"),
        ("fp32", NPU, ""),
        ("fp16", NPU, "f16"),
        ("int8", NPU, "f16"),
        ("int8", ("FP32", "FP16"), ""),
    ],
)
def test_a_device_computes_in_what_it_has(precision: str, capable: Sequence[str], arithmetic: str) -> None:
    assert arithmetic_for(precision, capable) == arithmetic


def test_a_precision_that_the_device_lacks_names_those_that_it_could_run(motion: Model) -> None:
    host = Host(CPU=CPU_WITHOUT_BF16, NPU=NPU)
    with pytest.raises(
        ModelError, match=r"device CPU cannot compute in bf16: it has .*FP32.*INT8.* can run: fp32, int8$"
    ):
        _arithmetic(host, motion, "bf16", "CPU")
    with pytest.raises(ModelError, match=r"device NPU cannot compute in fp32: it has .*FP16.* can run: int8$"):
        _arithmetic(host, motion, "fp32", "NPU")
    with pytest.raises(ModelError, match=r"device 'GPU' is not here; OpenVINO finds: CPU, NPU"):
        _arithmetic(host, motion, "fp32", "GPU")


def test_one_of_two_gpus_may_be_named_without_its_number(motion: Model) -> None:
    host = Host(**{"GPU.0": ("FP32",), "GPU.1": ("FP32",), "GPU": ("FP32",)})
    host.available_devices.remove("GPU")
    assert _arithmetic(host, motion, "fp32", "GPU") == _arithmetic(host, motion, "fp32", "GPU.1") == "f32"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("Exception from src/core.cpp:1:\nFailed to allocate 77070336 bytes of memory"), True),
        (RuntimeError("can't alloc"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("Resource temporarily unavailable"), True),  # no room for a thread
        (RuntimeError("[GPU] clEnqueueNDRangeKernel, error code: -6 CL_OUT_OF_HOST_MEMORY"), True),
        (RuntimeError("[GPU] Exceeded max size of memory object allocation: requested 9 bytes"), True),
        (RuntimeError("L0 zeMemAllocDevice result: ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("could not create a primitive"), True),  # oneDNN
        (RuntimeError("Check 'false' failed: bad combination"), False),
        (ValueError("could not broadcast input array"), False),
    ],
)
def test_out_of_memory_is_known_by_all_its_names(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


def test_a_host_without_memory_for_the_model_says_so(motion: Model) -> None:
    """The real thing: the address space ends 40 MB above what the process has when it compiles."""
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


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=needs_bf16)])
def test_nothing_is_reordered_between_encoder_ring_and_head(motion: Model, precision: str) -> None:
    """Nor around a temporal convolution: its transposes and reshapes are views."""
    if "avx512f" not in cpu_flags():
        pytest.skip("other processors lay features out in another way")
    graphs = motion.build(precision).graphs[0]
    moved = {half: _moved(motion, getattr(graphs, half), precision) for half in ("encoder", "head")}
    assert not [name for name in moved["head"] if not name.startswith(("res5.1/mean", "linear"))]  # a few numbers
    assert not [name for name in moved["encoder"] if name.startswith("res3.0")]


def _moved(model: Model, name: str, precision: str) -> list[str]:
    """Transposes and reorders that took time."""
    core = ov.Core()
    options = {"PERF_COUNT": "YES", "INFERENCE_PRECISION_HINT": EXECUTION[precision]}
    graph = prepared_graph(core, model, name, EXECUTION[precision])
    request = core.compile_model(graph, "CPU", options).create_infer_request()
    request.infer()
    ran = [info for info in request.get_profiling_info() if info.status == ov.ProfilingInfo.Status.EXECUTED]
    return [info.node_name for info in ran if info.node_type in ("Transpose", "Reorder")]


def test_a_steady_hop_allocates_nothing(motion: Model) -> None:
    """But for the logits and the handles of tensors. In a process of its own: other threads allocate, too."""
    program = """
import pathlib, sys, tracemalloc
import numpy as np
from edge_tdn.manifest import open_model
from edge_tdn.inference.open_runtime import open_runtime
runtime = open_runtime(open_model(pathlib.Path(sys.argv[1])))
ring = runtime.ring()
segment = np.zeros((5, 96, 96, 3), np.uint8)

def hops(count):
    for _ in range(count):
        runtime.encode([segment], [ring])
        runtime.classify([ring])

hops(10)
tracemalloc.start()
hops(20)
print(tracemalloc.get_traced_memory()[1])
"""
    peak = int(subprocess.check_output([sys.executable, "-c", program, str(motion.folder)]))
    assert peak < 20_000  # bytes; a single feature of a segment has 36,864


def test_ctrl_c_is_heard_after_runtimes_have_gone(motion: Model) -> None:
    """In a process of its own: OpenVINO alone would leave it a stack for signals that is freed."""
    program = f"""
import os, pathlib, signal, time
from edge_tdn.manifest import open_model
from edge_tdn.inference.open_runtime import open_runtime
model = open_model(pathlib.Path({str(motion.folder)!r}))
first, second = (open_runtime(model, threads=1) for _ in range(2))
first.close()
del first
second.close()
del second
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    print("heard")
"""
    assert subprocess.check_output([sys.executable, "-c", program]) == b"heard\n"


def test_openvino_reports_to_nobody_and_brings_no_converter() -> None:
    """Its telemetry would be sent at the import, from every camera host; TensorFlow's reader takes 5 MB."""
    program = "import sys, edge_tdn.inference.openvino; print([name for name in sys.modules if name.endswith('%s')])"
    for unwanted in ("openvino_telemetry.main", "tensorflow_frontend"):
        assert subprocess.check_output([sys.executable, "-c", program % unwanted]) == b"[]\n"
