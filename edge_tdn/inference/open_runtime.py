"""Where the network runs. A runtime encodes a new segment, classifies the last T, and closes."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from edge_tdn.errors import EdgeTdnError, ModelError, last_line
from edge_tdn.inference.compiled_cache import CompiledCache
from edge_tdn.inference.runtime import CUDA, Runtime, build_name, is_out_of_memory, out_of_memory
from edge_tdn.inference.self_test import SELF_TEST_LIMIT, self_test
from edge_tdn.manifest import Graphs, Model

log = logging.getLogger(__name__)
AUTO = "auto"  # the first device that works


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
    from edge_tdn.inference.openvino import devices

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
    self_test(model, runtime, max(SELF_TEST_LIMIT[precision], 2 * (build.golden_error or 0.0)))
    if cache:
        cache.keep()
    return runtime


def assemble(model: Model, graphs: tuple[Graphs, ...], open_one: Callable[[Graphs, int], Runtime]) -> Runtime:
    """The runtime of a folder: of its one network, or of all of an ensemble's. `open_one`: graphs and T -> runtime."""
    from edge_tdn.inference.ensemble import EnsembleRuntime

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
        from edge_tdn.inference.cuda import CudaRuntime

        return CudaRuntime(model, graphs, segments, precision)
    from edge_tdn.inference.openvino import OpenVinoRuntime

    try:
        return OpenVinoRuntime(model, graphs, segments, precision, device, threads, cache)
    except (RuntimeError, MemoryError) as error:  # of a driver that is listed and fails
        if is_out_of_memory(error):
            raise out_of_memory(device, f"opening {model.folder}") from error
        raise ModelError(f"{model.folder}: does not run on {device}: {last_line(error)}") from error
