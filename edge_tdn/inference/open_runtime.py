"""Open a runtime for a model: choose the device, compile or load from the cache, and self-test."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from edge_tdn.errors import EdgeTdnError, ModelError, last_line
from edge_tdn.inference.compiled_cache import CompiledCache
from edge_tdn.inference.runtime import (
    CUDA,
    Runtime,
    UnavailableDeviceError,
    build_name,
    is_out_of_memory,
    out_of_memory,
)
from edge_tdn.inference.self_test import SELF_TEST_LIMIT, self_test
from edge_tdn.manifest import Graphs, Model

log = logging.getLogger(__name__)
AUTO = "auto"  # the first device that works


def open_runtime(
    model: Model, precision: str = "fp32", device: str = "CPU", threads: int = 0, cache: Path | None = None
) -> Runtime:
    """Compile a verified model and self-test it, so that a wrong model never serves.

    `device`: OpenVINO's CPU, GPU or NPU; CUDA; or auto, the first of CUDA, GPU, NPU and CPU that works. `threads`: of
    the CPU; 0: OpenVINO's choice. `cache`: folder of compiled graphs; None: no cache. ModelError: unknown precision or
    device, or the self-test failed. DeviceError: not enough memory.
    """
    if device != AUTO:
        return _open_on(model, precision, device, threads, cache)
    *others, last = candidates(model, precision)
    for candidate in others:
        try:
            return _open_on(model, precision, candidate, threads, cache)
        except EdgeTdnError as error:
            log.warning("device=%s precision=%s skipped: %s", candidate, precision, error)
    return _open_on(model, precision, last, threads, cache)


def candidates(model: Model, precision: str) -> list[str]:
    """Return the devices that `auto` tries, best first. ModelError: the folder lacks this precision on all of them."""
    from edge_tdn.inference.openvino import devices

    cuda = [CUDA] if build_name(precision, CUDA) in model.manifest.precisions else []
    if cuda and precision not in model.manifest.precisions:
        return cuda
    model.build(precision)
    return cuda + devices()


def _open_on(model: Model, precision: str, device: str, threads: int, folder: Path | None) -> Runtime:
    """Open a runtime on one device; compile again if graphs from the cache fail the self-test."""
    cache = CompiledCache(folder) if folder and device != CUDA else None
    try:
        return _compile_and_test(model, precision, device, threads, cache)
    except ModelError as error:
        if not cache or not cache.found:
            raise
        log.warning("compiled-model cache: %s; compiling again", error)
        cache.forget()
        return _compile_and_test(model, precision, device, threads, cache)


def _compile_and_test(model: Model, precision: str, device: str, threads: int, cache: CompiledCache | None) -> Runtime:
    name = build_name(precision, device)
    if device == CUDA and name not in model.manifest.precisions:
        raise UnavailableDeviceError(
            f"{model.folder}: has no graphs for CUDA in {precision}; convert the checkpoint with --precisions {name}, "
            "or choose another device"
        )
    build = model.build(name)

    def open_one(graphs: Graphs, segments: int) -> Runtime:
        return _open_network(model, graphs, segments, precision, device, threads, cache)

    runtime = assemble(model, build.graphs, open_one)
    self_test(model, runtime, max(SELF_TEST_LIMIT[precision], 2 * (build.golden_error or 0.0)))
    if cache:
        cache.keep()
    return runtime


def assemble(model: Model, graphs: tuple[Graphs, ...], open_one: Callable[[Graphs, int], Runtime]) -> Runtime:
    """Return the runtime of a folder's only network, or of an ensemble. `open_one`: graphs and T -> runtime."""
    from edge_tdn.inference.ensemble import EnsembleRuntime

    spec = model.manifest.input
    with ExitStack() as opened:
        members = []
        for number, one in enumerate(graphs):
            members.append(open_one(one, spec.of(number).segments))
            opened.callback(members[-1].close)
        opened.pop_all()
    return members[0] if len(members) == 1 else EnsembleRuntime(members, spec.per_segment)


def _open_network(
    model: Model, graphs: Graphs, segments: int, precision: str, device: str, threads: int, cache: CompiledCache | None
) -> Runtime:
    if device == CUDA:
        from edge_tdn.inference.cuda import CudaRuntime

        return CudaRuntime(model, graphs, segments, precision)
    from edge_tdn.inference.openvino import OpenVinoRuntime

    try:
        return OpenVinoRuntime(model, graphs, segments, precision, device, threads, cache)
    except (RuntimeError, MemoryError) as error:  # from the driver of a device that is listed but fails
        if is_out_of_memory(error):
            raise out_of_memory(device, f"opening {model.folder}") from error
        raise ModelError(
            f"{model.folder}: does not run on {device}: {last_line(error)}; check the device's driver, or choose "
            "another device"
        ) from error
