"""Where the network runs. A runtime encodes a new segment, classifies the last T, and closes."""

import io
import logging
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_tdn.errors import DeviceError, EdgeTdnError, ModelError, last_line
from edge_tdn.manifest import GOLDEN, Graphs, Model
from edge_tdn.runtime.cache import CompiledCache

log = logging.getLogger(__name__)
# `import openvino` reports itself to its maker over the internet, unless the first of these is not there, and brings
# TensorFlow's reader along, 5 MB, unless the second is not.
for _unwanted in ("openvino_telemetry", "openvino.tools.ovc"):
    sys.modules.setdefault(_unwanted, None)  # type: ignore[arg-type]

AUTO = "auto"  # the first device that works
CUDA = "CUDA"  # the device that runs the PyTorch programs of a folder; all others are OpenVINO's
# Largest logit difference from PyTorch on the golden clip, relative to the largest logit. Where the exporter measured
# more (quantisation), a host is allowed twice that.
SELF_TEST_LIMIT = {"fp32": 1e-3, "fp16": 2e-2, "bf16": 5e-2, "int8": 5e-2}
# OpenVINO and PyTorch have no exception for it that the host could import
OUT_OF_MEMORY = re.compile(
    r"out.of.(\w+.)?memory|\balloc(ate|ation)?\b|_alloc\b|max size of memory|temporarily unavailable"
    r"|could not create a (primitive|memory)",  # oneDNN's
    re.I,
)


class Ring(Protocol):
    """What a runtime remembers of one camera's last segments."""

    @property
    def full(self) -> bool:
        """T segments of one unbroken stretch are there."""

    def clear(self) -> None:
        """Forget everything: no clip spans a gap."""

    def newest(self) -> dict[str, NDArray[np.float32]]:
        """What the last segment left, name -> [H, W, C], for whoever compares it; of an ensemble, all networks'."""


class Runtime(Protocol):
    """Used by one thread. Its results equal the whole network's on the same T segments, whatever is beside them."""

    device: str
    precision: str
    batch: int  # how many segments, and how many clips, go through together with profit; the scheduler brings no more

    def ring(self) -> Ring:
        """An empty ring for one camera."""

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[Ring]) -> None:
        """Every segment into its ring's next slot; a ring may take several, in their order.

        Segments are [5, H, W, 3], RGB; of an ensemble [InputSpec.frames, H, W, 3].
        """

    def classify(self, rings: Sequence[Ring]) -> NDArray[np.float32]:
        """The windows of full rings -> logits [N, classes], the caller's own copy."""

    def close(self) -> None: ...


def build_name(precision: str, device: str) -> str:
    """The manifest's name of what runs on a device in a precision."""
    return f"cuda-{precision}" if device == CUDA else precision


def open_runtime(
    model: Model, precision: str = "fp32", device: str = "CPU", threads: int = 0, cache: Path | None = None
) -> Runtime:  # fmt: skip
    """Compiles a verified model, runs its golden clip and compares: a wrong model never serves.

    `device`: OpenVINO's CPU, GPU, NPU; CUDA; or auto, the first of CUDA, GPU, NPU and CPU that works. `threads`: of the
    CPU; 0 lets it choose. `cache`: folder of compiled graphs. ModelError: no such precision or device, or the golden
    clip gives other logits. DeviceError: not enough memory.
    """
    if device != AUTO:
        return _open_tested(model, precision, device, threads, cache)
    *others, last = candidates(model, precision)
    for candidate in others:
        try:
            return _open_tested(model, precision, candidate, threads, cache)
        except EdgeTdnError as error:
            log.warning("device=%s precision=%s not taken: %s", candidate, precision, error)
    return _open_tested(model, precision, last, threads, cache)


def candidates(model: Model, precision: str) -> list[str]:
    """The devices that `auto` tries, best first. ModelError: the folder does not have this precision for any."""
    from edge_tdn.runtime.openvino import devices

    cuda = [CUDA] if build_name(precision, CUDA) in model.manifest.precisions else []
    if cuda and precision not in model.manifest.precisions:
        return cuda
    model.build(precision)
    return cuda + devices()


def _open_tested(model: Model, precision: str, device: str, threads: int, folder: Path | None) -> Runtime:
    """What came from the cache and fails the self-test is compiled anew: it may not be the model's fault."""
    cache = CompiledCache(folder) if folder and device != CUDA else None
    try:
        return _compile_and_test(model, precision, device, threads, cache)
    except ModelError as error:
        if not cache or not cache.found:
            raise
        log.warning("compiled-model cache: %s; compiling anew", error)
        cache.forget()
        return _compile_and_test(model, precision, device, threads, cache)


def _compile_and_test(
    model: Model, precision: str, device: str, threads: int, cache: CompiledCache | None
) -> Runtime:  # fmt: skip
    build = model.build(build_name(precision, device))
    open_one = lambda graphs, t: _open(model, graphs, t, precision, device, threads, cache)  # noqa: E731
    runtime = assemble(model, build.graphs, open_one)
    _self_test(model, runtime, max(SELF_TEST_LIMIT[precision], 2 * (build.golden_error or 0.0)))
    if cache:
        cache.keep()
    return runtime


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device ran out of memory, by whatever name its library says it."""
    return isinstance(error, MemoryError) or bool(OUT_OF_MEMORY.search(str(error)))


def out_of_memory(device: str, doing: str) -> DeviceError:
    """The one sentence for it, wherever it happens."""
    return DeviceError(
        f"device {device} ran out of memory, {doing}; take a smaller model, another precision or device, or run less "
        "on it: fewer cameras, fewer programs"
    )


@contextmanager
def enough_memory(device: str, doing: str) -> Iterator[None]:
    """DeviceError where the device has too little for what is done within."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise out_of_memory(device, doing) from error
        raise


def assemble(model: Model, graphs: tuple[Graphs, ...], open_one: Callable[[Graphs, int], Runtime]) -> Runtime:
    """The runtime of a folder: of its one network, or of all of an ensemble's. `open_one`: graphs and T -> runtime."""
    from edge_tdn.runtime.ensemble import EnsembleRuntime

    spec = model.manifest.input
    with ExitStack() as opened:
        members = []
        for number, one in enumerate(graphs):
            members.append(open_one(one, spec.of(number).segments))
            opened.callback(members[-1].close)
        opened.pop_all()
    return members[0] if len(members) == 1 else EnsembleRuntime(members, spec.per_segment)


def _open(
    model: Model, graphs: Graphs, segments: int, precision: str, device: str, threads: int, cache: CompiledCache | None
) -> Runtime:
    if device == CUDA:
        from edge_tdn.runtime.cuda import CudaRuntime

        return CudaRuntime(model, graphs, segments, precision)
    from edge_tdn.runtime.openvino import OpenVinoRuntime

    try:
        return OpenVinoRuntime(model, graphs, segments, precision, device, threads, cache)
    except (RuntimeError, MemoryError) as error:  # of a driver that is listed and fails
        if is_out_of_memory(error):
            raise out_of_memory(device, f"opening {model.folder}") from error
        raise ModelError(f"{model.folder}: does not run on {device}: {last_line(error)}") from error


def golden_error(model: Model, runtime: Runtime) -> float:
    """Largest difference of the golden clip's logits from PyTorch's, relative to the largest. ModelError: no clip."""
    with np.load(io.BytesIO(model.read(GOLDEN)), allow_pickle=False) as golden:
        clip, expected = golden["clip"], golden["logits"]
    spec = model.manifest.input
    wanted = (spec.segments, spec.frames, spec.height, spec.width, 3), (model.manifest.classes,)
    if (clip.shape, expected.shape) != wanted or clip.dtype != np.uint8 or not np.isfinite(expected).all():
        raise ModelError(
            f"{model.folder / GOLDEN}: a clip {clip.shape} and logits {expected.shape}, but the manifest says "
            f"{wanted[0]} and {wanted[1]}; export the model again"
        )
    error = np.max(np.abs(scores(runtime, clip) - expected)) / np.max(np.abs(expected))
    return float(error)


def scores(runtime: Runtime, clip: NDArray[np.uint8]) -> NDArray[np.float32]:
    """One clip by itself: [T, InputSpec.frames, H, W, 3] -> logits [classes]."""
    ring = runtime.ring()
    for segment in clip:
        runtime.encode([segment], [ring])
    logits: NDArray[np.float32] = runtime.classify([ring])[0]
    return logits


def _self_test(model: Model, runtime: Runtime, limit: float) -> None:
    try:
        error = golden_error(model, runtime)
    except ModelError:
        runtime.close()
        raise
    except Exception as cause:  # whatever a wrong folder makes numpy or the device say
        runtime.close()
        if is_out_of_memory(cause):
            raise out_of_memory(runtime.device, f"testing {model.folder}") from cause
        raise ModelError(f"{model.folder}: self-test failed: {last_line(cause)}; export the model again") from cause
    if not error <= limit:  # catches NaN too
        runtime.close()
        raise ModelError(
            f"{model.folder}: self-test failed on {runtime.device} {runtime.precision}: the golden clip's logits are "
            f"{error:.2g} of the largest off PyTorch's, allowed {limit:.2g}; export the model again or choose another "
            "precision"
        )
