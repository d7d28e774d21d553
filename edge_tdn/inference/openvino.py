"""A runtime on OpenVINO. The encoder writes into the ring and the head reads from it, through shared tensors."""

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino.preprocess import PrePostProcessor

from edge_tdn import __version__
from edge_tdn.errors import ModelError, last_line
from edge_tdn.inference.compiled_cache import CompiledCache, cache_key
from edge_tdn.inference.cpu_features import cpu_flags, slow_processor
from edge_tdn.inference.feature_ring import FeatureRing
from edge_tdn.inference.runtime import Ring, UnavailableDeviceError, is_out_of_memory, out_of_memory
from edge_tdn.manifest import Graphs, Model
from edge_tdn.process.signals import disable_signal_stack

log = logging.getLogger(__name__)

# Precision -> OpenVINO's arithmetic; without it, OpenVINO would choose BF16. INT8 layers are in the graph; this is the
# arithmetic of the others.
EXECUTION = {"fp32": "f32", "fp16": "f32", "bf16": "bf16", "int8": "f32"}
LOGITS = "logits"  # the head's output
PREPARATION_VERSION = 1  # of `prepared_graph`; increment it with every change there, so that cached graphs expire
# OpenVINO's type of a feature -> NumPy's in the ring; NumPy has no BF16, so uint16 holds its bits
STORED = {ov.Type.f32: np.float32, ov.Type.bf16: np.uint16, ov.Type.u8: np.uint8, ov.Type.i8: np.int8}
CAPABILITY = {"f32": "FP32", "f16": "FP16", "bf16": "BF16"}  # arithmetic -> OpenVINO's name of the device capability
FASTER = {"int8": "bf16"}  # for the layers that INT8 leaves in floating point: 6 % less time per hop (R50)
HALF = ("fp16", "int8")  # precisions that may use FP16 on a device without FP32 (NPU); the self-test checks the result
PREFERRED = ("GPU", "NPU", "CPU")
DEVICE_PROPERTIES = (  # part of a compiled graph's cache key
    "FULL_DEVICE_NAME",
    "DEVICE_ARCHITECTURE",
    "OPTIMIZATION_CAPABILITIES",
    "GPU_DRIVER_VERSION",
    "NPU_DRIVER_VERSION",
)
ACCELERATORS = ("/dev/dri", "/dev/accel", "/dev/dxg")  # without these, OpenVINO would load 30 MB to find none


class OpenVinoRuntime:
    """A runtime on a device of OpenVINO's, used by one thread.

    `segments`: T. `threads`: of the CPU; 0: OpenVINO's choice. `cache`: compiled graphs; None: no cache.
    """

    # One clip alone keeps a processor busy: with 2 or 4 clips at a time, R50 gains 1 % at most; the small `motion`
    # gains 5 to 11 % with 4 and nothing with 2 (`make bench-cameras BENCH="--batch 1 2 4"`). That is not worth the
    # memory of a second head.
    batch = 1

    def __init__(
        self,
        model: Model,
        graphs: Graphs,
        segments: int,
        precision: str,
        device: str,
        threads: int,
        cache: CompiledCache | None,
    ) -> None:
        core = ov.Core()
        arithmetic = _arithmetic(core, model, precision, device)
        self.device, self.precision = device, precision
        self._segments = segments
        self._features, self._scales = graphs.features, graphs.scales
        options = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": arithmetic}
        if threads and device == "CPU":
            options["INFERENCE_NUM_THREADS"] = str(threads)
        encoder, head = (_compile(core, model, name, device, options, cache) for name in (graphs.encoder, graphs.head))
        if device == "CPU" and (slow := slow_processor(precision, _kernels(head), cpu_flags())):
            log.warning("device=CPU precision=%s %s", precision, slow)
        types = {port.any_name: port.element_type for port in head.inputs}
        if set(types) != set(graphs.features):
            raise ModelError(
                f"{model.folder / graphs.head}: self-test failed: has the inputs {', '.join(types)} instead of the "
                f"manifest's {', '.join(graphs.features)}; export the model again"
            )
        self._types = types
        self._encoder, self._head = encoder.create_infer_request(), head.create_infer_request()
        self._tensors: WeakKeyDictionary[FeatureRing, _RingTensors] = WeakKeyDictionary()

    def ring(self) -> FeatureRing:
        stored = {name: STORED[kind] for name, kind in self._types.items()}
        ring = FeatureRing(self._features, self._segments, stored, self._scales)
        self._tensors[ring] = _RingTensors(ring, self._types)
        return ring

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[Ring]) -> None:
        # All tensors are set before each inference: the request may still refer to the memory of a deleted ring.
        for frames, ring in zip(segments, rings, strict=True):
            assert isinstance(ring, FeatureRing)
            self._encoder.set_input_tensor(ov.Tensor(np.ascontiguousarray(frames)[None], shared_memory=True))
            for name, tensor in self._tensors[ring].slots[ring.slot].items():
                self._encoder.set_tensor(name, tensor)
            self._encoder.infer(share_outputs=True)  # without it, the outputs are copied
            ring.written()

    def classify(self, rings: Sequence[Ring]) -> NDArray[np.float32]:
        logits = []
        for ring in rings:
            assert isinstance(ring, FeatureRing)
            for name, tensor in self._tensors[ring].windows[ring.start].items():
                self._head.set_tensor(name, tensor)
            self._head.infer(share_outputs=True)
            logits.append(self._head.get_output_tensor().data[0].copy())
        return np.stack(logits)

    def close(self) -> None:
        """Free the compiled graphs."""
        del self._encoder, self._head


class _RingTensors:
    """A ring's memory as OpenVINO tensors, made once: for every slot, and for the window that starts at every slot."""

    def __init__(self, ring: FeatureRing, types: dict[str, ov.Type]) -> None:
        def tensors(first: int, count: int) -> dict[str, ov.Tensor]:
            parts = {name: array[first : first + count] for name, array in ring.arrays.items()}
            return {name: ov.Tensor(part, list(part.shape), types[name]) for name, part in parts.items()}

        self.slots = [tensors(slot, 1) for slot in range(ring.slots)]
        self.windows = [tensors(slot, ring.segments) for slot in range(ring.slots)]


def read_graph(core: ov.Core, model: Model, name: str) -> ov.Model:
    """Read an IR of the folder from its verified bytes. RuntimeError: OpenVINO cannot read it."""
    weights = np.frombuffer(model.read(name.removesuffix(".xml") + ".bin"), np.uint8)
    return core.read_model(model=model.read(name), weights=ov.Tensor(weights))


def devices() -> list[str]:
    """Return OpenVINO's devices on this host, those that are usually faster first: GPU, GPU.1, NPU, CPU."""
    if not any(Path(node).exists() for node in ACCELERATORS):
        return ["CPU"]
    here = ov.Core().available_devices
    return [name for kind in PREFERRED for name in here if name.split(".")[0] == kind]


def device_names() -> dict[str, str]:
    """Return the full names of OpenVINO's devices on this host, except the CPU's."""
    core, names = ov.Core(), dict[str, str]()
    for device in devices():
        if device != "CPU":
            names[device] = device
            with suppress(RuntimeError):  # it is listed, but fails
                names[device] = str(core.get_property(device, "FULL_DEVICE_NAME"))
    return names


def _arithmetic(core: ov.Core, model: Model, precision: str, device: str) -> str:
    """Return a device's arithmetic for a precision. ModelError: no such device, or it lacks the precision."""
    if device != "CPU":  # listing the devices loads all plugins: 20 MB that the CPU does not need
        here = core.available_devices
        if device not in here and f"{device}.0" not in here:
            raise UnavailableDeviceError(f"device {device!r} is not available; OpenVINO finds: {', '.join(here)}")
    capable = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    if found := arithmetic_for(precision, capable):
        return found
    can = [name for name in model.manifest.precisions if name in EXECUTION and arithmetic_for(name, capable)]
    raise ModelError(
        f"device {device} cannot compute in {precision}: it has {', '.join(sorted(capable))}; choose one of the "
        f"precisions of {model.folder} that it can run: {', '.join(can) or 'none'}"
    )


def processor_can(precision: str) -> bool:
    """Return whether this host's processor computes in a precision; not all have BF16."""
    return bool(arithmetic_for(precision, ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")))


def arithmetic_for(precision: str, capable: Sequence[str]) -> str:
    """Return the arithmetic for a precision on a device with these OpenVINO capabilities; empty: it lacks it."""
    if precision == "int8" and "INT8" not in capable:
        return ""
    choices = (FASTER.get(precision, ""), EXECUTION[precision], "f16" if precision in HALF else "")
    return next((choice for choice in choices if choice and CAPABILITY[choice] in capable), "")


def _compile(
    core: ov.Core, model: Model, name: str, device: str, options: dict[str, str], cache: CompiledCache | None
) -> ov.CompiledModel:
    try:
        if cache is None or "EXPORT_IMPORT" not in core.get_property(device, "OPTIMIZATION_CAPABILITIES"):
            return _compile_graph_of(core, model, name, device, options)
        key = _key(core, model, name, device, options)
        if (blob := cache.read(key)) is not None:
            try:
                return _without_signal_stack(
                    core.import_model(ov.Tensor(np.frombuffer(blob, np.uint8)), device, options)
                )
            except RuntimeError as error:
                cache.refuse(key, last_line(error))
        compiled = _compile_graph_of(core, model, name, device, options)
        cache.offer(key, lambda: compiled.export_model().getbuffer())
        return compiled
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise out_of_memory(device, f"compiling {model.folder / name}") from error
        raise ModelError(
            f"{model.folder / name}: OpenVINO cannot compile it for {device}: {last_line(error)}; export the model "
            "again, or choose another device"
        ) from error


def _compile_graph_of(core: ov.Core, model: Model, name: str, device: str, options: dict[str, str]) -> ov.CompiledModel:
    graph = prepared_graph(core, model, name, options["INFERENCE_PRECISION_HINT"])
    return compile_graph(core, graph, device, options)


def compile_graph(core: ov.Core, graph: ov.Model, device: str, options: dict[str, str]) -> ov.CompiledModel:
    """Compile a graph. Use this instead of OpenVINO's `compile_model`, which leaves a signal stack on the thread."""
    return _without_signal_stack(core.compile_model(graph, device, options))


def _without_signal_stack(compiled: ov.CompiledModel) -> ov.CompiledModel:
    disable_signal_stack()
    return compiled


def prepared_graph(core: ov.Core, model: Model, name: str, arithmetic: str) -> ov.Model:
    """Return an IR of the folder, ready to be compiled for an arithmetic. RuntimeError: OpenVINO cannot read it."""
    graph = read_graph(core, model, name)
    if graph.is_dynamic():  # the encoder's batch: one segment at a time; a fixed shape costs nothing at run time
        graph.reshape({i: [1, *(n.get_length() for n in list(i.partial_shape)[1:])] for i in graph.inputs})
    return _with_bf16_features(graph) if arithmetic == "bf16" else graph


def _with_bf16_features(graph: ov.Model) -> ov.Model:
    """Return a graph whose features are BF16, as encoder and head compute: half the memory, no conversions."""
    edges = PrePostProcessor(graph)
    for port in graph.inputs:
        if port.element_type == ov.Type.f32:
            edges.input(port.any_name).tensor().set_element_type(ov.Type.bf16)
    for port in graph.outputs:
        if port.any_name != LOGITS and port.element_type == ov.Type.f32:
            edges.output(port.any_name).tensor().set_element_type(ov.Type.bf16)
    return edges.build()


def _key(core: ov.Core, model: Model, name: str, device: str, options: dict[str, str]) -> bytes:
    """Return the cache key of a compiled graph: a hash of everything that it depends on."""
    supported = core.get_property(device, "SUPPORTED_PROPERTIES")
    parts: dict[str, Any] = {
        "files": [model.record(part).sha256 for part in (name, name.removesuffix(".xml") + ".bin")],
        "versions": [__version__, PREPARATION_VERSION, ov.get_version()],
        "device": [device, *(str(core.get_property(device, one)) for one in DEVICE_PROPERTIES if one in supported)],
        "processor": [*sorted(cpu_flags()), os.environ.get("ONEDNN_MAX_CPU_ISA", "")],
        "options": options,
    }
    return cache_key(parts)


def _kernels(compiled: ov.CompiledModel) -> set[str]:
    """Return OpenVINO's names of the kernels that compute the convolutions and matrix products."""
    found = (node.get_rt_info() for node in compiled.get_runtime_model().get_ops())
    products = (info for info in found if info["layerType"].astype(str) in ("Convolution", "FullyConnected", "MatMul"))
    return {info["primitiveType"].astype(str) for info in products}
