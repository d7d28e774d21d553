"""The runtime on OpenVINO: devices, their arithmetic, and a hop that neither copies nor allocates."""

import subprocess
import sys
from collections.abc import Sequence

import openvino as ov
import pytest

from edge_tdn.errors import ModelError
from edge_tdn.inference.cpu_features import cpu_flags
from edge_tdn.inference.openvino import EXECUTION, _arithmetic, arithmetic_for, prepared_graph
from edge_tdn.manifest import Model
from tests.conftest import needs_bf16

CPU_WITHOUT_BF16 = ("WINOGRAD", "FP32", "INT8", "BIN", "EXPORT_IMPORT")
NPU = ("FP16", "INT8", "EXPORT_IMPORT")


class FakeCore:
    """A stand-in for OpenVINO's core: which devices there are, and what they can compute."""

    def __init__(self, **devices: Sequence[str]) -> None:
        self.available_devices = list(devices)
        self._can = devices

    def get_property(self, device: str, name: str) -> Sequence[str]:
        assert name == "OPTIMIZATION_CAPABILITIES"
        return self._can[device]


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
def test_the_arithmetic_follows_the_devices_capabilities(
    precision: str, capable: Sequence[str], arithmetic: str
) -> None:
    assert arithmetic_for(precision, capable) == arithmetic


def test_a_precision_that_the_device_lacks_is_refused_with_those_that_it_has(motion: Model) -> None:
    core = FakeCore(CPU=CPU_WITHOUT_BF16, NPU=NPU)
    with pytest.raises(
        ModelError, match=r"device CPU cannot compute in bf16: it has .*FP32.*INT8.* can run: fp32, int8$"
    ):
        _arithmetic(core, motion, "bf16", "CPU")
    with pytest.raises(ModelError, match=r"device NPU cannot compute in fp32: it has .*FP16.* can run: int8$"):
        _arithmetic(core, motion, "fp32", "NPU")
    with pytest.raises(ModelError, match=r"device 'GPU' is not available; OpenVINO finds: CPU, NPU"):
        _arithmetic(core, motion, "fp32", "GPU")


def test_a_gpu_may_be_named_without_its_number(motion: Model) -> None:
    core = FakeCore(**{"GPU.0": ("FP32",), "GPU.1": ("FP32",), "GPU": ("FP32",)})
    core.available_devices.remove("GPU")
    assert _arithmetic(core, motion, "fp32", "GPU") == _arithmetic(core, motion, "fp32", "GPU.1") == "f32"


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=needs_bf16)])
def test_no_features_are_reordered_between_encoder_ring_and_head(motion: Model, precision: str) -> None:
    """And none around a temporal convolution, whose transposes and reshapes are views."""
    if "avx512f" not in cpu_flags():
        pytest.skip("other processors use another memory layout")
    graphs = motion.build(precision).graphs[0]
    moved = {half: _moved(motion, getattr(graphs, half), precision) for half in ("encoder", "head")}
    assert not [name for name in moved["head"] if not name.startswith(("res5.1/mean", "linear"))]  # only a few numbers
    assert not [name for name in moved["encoder"] if name.startswith("res3.0")]


def _moved(model: Model, name: str, precision: str) -> list[str]:
    """Return the transposes and reorders that were executed."""
    core = ov.Core()
    options = {"PERF_COUNT": "YES", "INFERENCE_PRECISION_HINT": EXECUTION[precision]}
    graph = prepared_graph(core, model, name, EXECUTION[precision])
    request = core.compile_model(graph, "CPU", options).create_infer_request()
    request.infer()
    ran = [info for info in request.get_profiling_info() if info.status == ov.ProfilingInfo.Status.EXECUTED]
    return [info.node_name for info in ran if info.node_type in ("Transpose", "Reorder")]


def test_a_steady_hop_allocates_nothing(motion: Model) -> None:
    """Except for the logits and the handles of tensors. In a process of its own, since other threads allocate too."""
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


def test_ctrl_c_still_works_after_runtimes_were_closed(motion: Model) -> None:
    """In a process of its own: OpenVINO would leave the thread a signal stack that has been freed."""
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
    print("interrupted")
"""
    assert subprocess.check_output([sys.executable, "-c", program]) == b"interrupted\n"


def test_openvino_sends_no_telemetry_and_loads_no_converter() -> None:
    """Its import would send telemetry from every camera host; TensorFlow's reader takes 5 MB."""
    program = "import sys, edge_tdn.inference.openvino; print([name for name in sys.modules if name.endswith('%s')])"
    for unwanted in ("openvino_telemetry.main", "tensorflow_frontend"):
        assert subprocess.check_output([sys.executable, "-c", program % unwanted]) == b"[]\n"
