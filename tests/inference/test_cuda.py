"""The CUDA runtime, on the CPU where there is no GPU: the same code, except for the recording of kernels."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from edge_tdn_export.convert.convert import whole
from edge_tdn_export.convert.cuda import arranged
from edge_tdn_export.convert.graphs import EncoderGraph, HeadGraph
from edge_tdn_export.network.tdn import TDN
from numpy.typing import NDArray
from torch import Tensor
from torch.export.passes import move_to_device_pass
from torch.utils._python_dispatch import TorchDispatchMode

from edge_tdn.errors import DeviceError, ModelError
from edge_tdn.inference.cuda import CudaRuntime
from edge_tdn.inference.feature_store import FeatureStore
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.manifest import Model, open_model
from tests.bench import gpu
from tests.support.exports import SPEC, SmallModel, noise, relative_error, sliding_error
from tests.support.networks import VARIANTS, small_network

pytestmark = pytest.mark.usefixtures("one_thread")
LIMIT = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 2e-2}  # of the largest logit, as in edge_tdn_export.limits
ROUNDING = 1e-5  # of the largest logit: FP32 sums in another order


@pytest.fixture(scope="module")
def network(small_model: SmallModel) -> TDN:
    return small_model.network


@pytest.fixture(scope="module")
def model(small_model: SmallModel) -> Model:
    return open_model(small_model.folder)


def on_processor(model: Model, precision: str = "fp32", largest: int = 4) -> CudaRuntime:
    return CudaRuntime(model, model.build(f"cuda-{precision}").graphs[0], 8, precision, "cpu", largest)


@pytest.fixture(scope="module")
def runtime(model: Model) -> Iterator[CudaRuntime]:
    """One runtime for all tests that only compute, because opening takes seconds."""
    runtime = on_processor(model)
    yield runtime
    runtime.close()


@pytest.fixture(scope="module")
def one_by_one(model: Model) -> Iterator[CudaRuntime]:
    """A runtime that computes one clip at a time."""
    runtime = on_processor(model, largest=1)
    yield runtime
    runtime.close()


@pytest.mark.parametrize("precision", LIMIT)
def test_a_sliding_window_equals_the_whole_network(precision: str, model: Model, network: TDN) -> None:
    """Even after the ring has wrapped around twice."""
    assert sliding_error(on_processor(model, precision, largest=1), network, noise(20)) <= LIMIT[precision]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_computes_the_same_when_arranged_for_a_gpu(variant: str) -> None:
    network = small_network(width=0.125, classes=3, **VARIANTS[variant])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    frames = torch.from_numpy(noise(16)).repeat_interleave(network.config.shrink, -3)
    frames = frames.repeat_interleave(network.config.shrink, -2)
    with torch.inference_mode():
        features = EncoderGraph(network, SPEC)(frames)
        expected = HeadGraph(network)(*features).numpy()
        encoder = arranged(EncoderGraph(network, SPEC).eval(), (frames[:2],), torch.float32)
        head = arranged(HeadGraph(network).eval(), tuple(feature[:8] for feature in features), torch.float32)
        got = head(*encoder(frames)).numpy()
    assert relative_error(got, expected) <= ROUNDING
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for half in (encoder, head) for layer in half.modules())


def filled(runtime: CudaRuntime, clips: NDArray[np.uint8]) -> list[Any]:
    """Return a ring per clip of uint8 [cameras, T, 5, H, W, 3], filled with the cameras' segments in turn."""
    rings = [runtime.ring() for _ in clips]
    for segments in clips.swapaxes(0, 1):
        runtime.encode(list(segments), rings)
    return rings


@pytest.mark.parametrize("cameras", [2, 3, 4, 7])
def test_clips_of_several_cameras_equal_each_clip_alone(
    cameras: int, runtime: CudaRuntime, one_by_one: CudaRuntime
) -> None:
    """In full batches, in padded ones, and in several batches."""
    clips = noise(8 * cameras).reshape(cameras, 8, 5, 64, 64, 3)
    together = runtime.classify(filled(runtime, clips))
    alone = np.stack([one_by_one.classify(filled(one_by_one, clip[None]))[0] for clip in clips])
    assert together.shape == (cameras, 3)
    assert relative_error(together, alone) <= ROUNDING
    assert np.abs(np.diff(alone, axis=0)).max() > 100 * ROUNDING * np.abs(alone).max()  # the clips differ


def test_a_clip_does_not_affect_another_cameras_logits(runtime: CudaRuntime) -> None:
    clips = noise(32).reshape(4, 8, 5, 64, 64, 3)
    before = runtime.classify(filled(runtime, clips))
    clips[2] = noise(8, seed=1)
    after = runtime.classify(filled(runtime, clips))
    assert np.array_equal(before[[0, 1, 3]], after[[0, 1, 3]])
    assert not np.allclose(before[2], after[2])


def test_of_more_segments_than_a_clip_has_the_last_ones_count(network: TDN, runtime: CudaRuntime) -> None:
    """One camera catches up, while another one delivers a single segment."""
    segments, other = noise(11), noise(8, seed=2)
    ring, beside = runtime.ring(), runtime.ring()
    for frames in other[:7]:
        runtime.encode([frames], [beside])
    runtime.encode([*segments[:6], other[7], *segments[6:]], [ring] * 6 + [beside] + [ring] * 5)
    expected = np.stack([whole(network, segments[-8:], SPEC), whole(network, other, SPEC)])
    assert relative_error(runtime.classify([ring, beside]), expected) <= LIMIT["fp32"]


def test_a_cleared_ring_is_full_only_after_t_more_segments(runtime: CudaRuntime) -> None:
    (ring,) = filled(runtime, noise(8)[None])
    assert ring.full
    ring.clear()
    for frames in noise(7):
        assert not ring.full
        runtime.encode([frames], [ring])
    runtime.encode([noise(1)[0]], [ring])
    assert ring.full


def test_the_store_grows_for_further_cameras_and_keeps_the_others_features(runtime: CudaRuntime) -> None:
    rings = filled(runtime, noise(16).reshape(2, 8, 5, 64, 64, 3))
    before = runtime.classify(rings)
    filled(runtime, noise(40, seed=3).reshape(5, 8, 5, 64, 64, 3))
    assert np.array_equal(runtime.classify(rings), before)


def test_the_slots_of_a_garbage_ring_are_reused() -> None:
    store = FeatureStore(torch, {"h": (4,)}, 8, torch.float32, torch.device("cpu"))
    rings = [store.ring() for _ in range(3)]
    room = store.cameras
    for _ in range(20):
        rings = [store.ring() for _ in range(3)]
    assert store.cameras <= 2 * room
    slots = [slot for ring in rings for slot in ring.window]
    assert len(set(slots)) == 24
    assert 0 not in slots  # the slot of padding rows


class ReorderedInputs(TorchDispatchMode):
    """Collects the shapes of convolution inputs that are not channels-last, so that they would be reordered first."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, ...]] = []
        self.seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "conv" in func.name():
            self.seen += 1
            layout = torch.channels_last
            self.found += [tuple(one.shape) for one in args[:2] if not one.is_contiguous(memory_format=layout)]
        return func(*args, **(kwargs or {}))


def test_all_convolutions_of_the_head_get_channels_last_inputs(runtime: CudaRuntime) -> None:
    rings = filled(runtime, noise(16).reshape(2, 8, 5, 64, 64, 3))
    with ReorderedInputs() as mode:
        runtime.classify(rings)
    assert mode.seen > 30
    assert mode.found == []


def operators(model: Model, name: str) -> list[str]:
    program = torch.export.load(model.folder / name)
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]


def test_only_pixels_and_the_input_of_the_linear_layer_are_cast_per_call(model: Model) -> None:
    graphs = model.build("cuda-bf16").graphs[0]
    encoder, head = operators(model, graphs.encoder), operators(model, graphs.head)
    assert encoder.count("aten.to.dtype") == 4  # uint8 -> FP32 -> BF16, twice
    assert head.count("aten.to.dtype") == 1
    found = encoder + head
    assert "aten.batch_norm.default" not in found
    assert found.count("aten.conv2d.default") > 30


def test_programs_run_on_another_device_than_they_were_exported_on(model: Model) -> None:
    """PyTorch's `meta` device stands in for CUDA: a tensor left on the CPU would not combine with the others."""
    graphs = model.build("cuda-bf16").graphs[0]
    encoder, head = (
        move_to_device_pass(torch.export.load(model.folder / name), "meta").module()
        for name in (graphs.encoder, graphs.head)
    )
    with torch.inference_mode():
        features = encoder(torch.empty(16, 5, 64, 64, 3, dtype=torch.uint8, device="meta"))
        logits = head(*(feature.unflatten(0, (2, 8)) for feature in features))
    assert {tensor.device.type for tensor in (*features, logits)} == {"meta"}
    assert logits.shape == (2, 3)


def fails_above(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both programs run out of memory for more than this number of rows."""
    load: Callable[..., Any] = CudaRuntime._load

    def loaded(runtime: CudaRuntime, model: Model, name: str) -> Callable[..., Any]:
        program = load(runtime, model, name)

        def run(*inputs: Tensor) -> Any:
            if len(inputs[0]) > rows:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has ...")
            return program(*inputs)

        return run

    monkeypatch.setattr(CudaRuntime, "_load", loaded)


def test_a_small_gpu_gets_the_largest_batch_that_fits(
    model: Model, network: TDN, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fails_above(2, monkeypatch)
    with caplog.at_level(logging.WARNING):
        runtime = on_processor(model, largest=8)
    assert runtime.batch == 2
    assert [record.getMessage() for record in caplog.records] == [
        "device cpu: memory for batches of 2, not of 8: many cameras will take longer"
    ]
    clips = noise(24).reshape(3, 8, 5, 64, 64, 3)
    expected = np.stack([whole(network, clip, SPEC) for clip in clips])
    assert relative_error(runtime.classify(filled(runtime, clips)), expected) <= LIMIT["fp32"]


def test_a_gpu_that_is_too_small_for_one_camera_is_a_device_error(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails_above(0, monkeypatch)
    with pytest.raises(DeviceError, match=r"not enough memory for one camera in bf16: 1\.50 GiB more were requested"):
        on_processor(model, "bf16")


def test_one_camera_too_many_is_a_device_error_with_the_number_that_fits(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = on_processor(model)
    rings = [runtime.ring() for _ in range(4)]

    def fail(store: FeatureStore, cameras: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. ...")

    monkeypatch.setattr(FeatureStore, "_grow", fail)
    with pytest.raises(DeviceError, match=r"for more than 4 cameras in fp32: 20\.00 MiB .* configure fewer cameras"):
        rings.append(runtime.ring())
    assert DeviceError.exit_status == 71


def test_programs_that_do_not_fit_each_other_are_a_model_error(model: Model) -> None:
    graphs = model.build("cuda-fp32").graphs[0]
    swapped = graphs.model_copy(update={"encoder": graphs.head, "head": graphs.encoder})
    with pytest.raises(ModelError, match=r"head\.pt2.* do not run on cpu: .*; export the model again"):
        CudaRuntime(model, swapped, 8, "fp32", "cpu", largest=2)


def test_the_benchmark_runs_on_the_cpu_too(model: Model) -> None:
    """With a small matrix: a processor without BF16 takes a minute for the large one."""
    found = gpu.measure(model, "bf16", "cpu", [1, 2], hops=3, matrix=128)
    assert 0 < found["golden_error"] <= found["golden_limit"] == LIMIT["bf16"]
    assert [one.cameras for one in found["batches"]] == [1, 2]
    for one in found["batches"]:
        assert 0 < one.median_ms <= one.p95_ms
        assert one.hops_per_s == pytest.approx(1000 * one.cameras / one.median_ms)
        assert one.of_peak == pytest.approx(2e-3 * found["gmac_per_hop"] * one.hops_per_s / found["matrix_tflops"])
    (row,) = found["rows"]
    assert row.goal == 2
    assert row.figure == found["batches"][0].median_ms


def cuda_error(model: Model, network: TDN, precision: str) -> float:
    return sliding_error(open_runtime(model, precision, "CUDA"), network, noise(20))


@pytest.mark.cuda
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("precision", LIMIT)
def test_on_a_gpu_a_sliding_window_equals_the_whole_network(precision: str, model: Model, network: TDN) -> None:
    assert cuda_error(model, network, precision) <= LIMIT[precision]


@pytest.mark.cuda
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("cameras", [1, 2, 3, 5, 13, 32, 40])
def test_on_a_gpu_every_recorded_batch_equals_the_cpu(cameras: int, model: Model, runtime: CudaRuntime) -> None:
    clips = noise(8 * cameras).reshape(cameras, 8, 5, 64, 64, 3)
    on_gpu = open_runtime(model, "fp32", "CUDA")
    assert (
        relative_error(on_gpu.classify(filled(on_gpu, clips)), runtime.classify(filled(runtime, clips)))
        <= LIMIT["fp32"]
    )
    on_gpu.close()


@pytest.mark.cuda
@pytest.mark.usefixtures("gpu")
def test_on_a_gpu_frames_are_not_overwritten_while_they_are_copied(model: Model, runtime: CudaRuntime) -> None:
    """Many segments pass through the same pinned memory without waiting."""
    clips = noise(32 * 8).reshape(32, 8, 5, 64, 64, 3)
    on_gpu = open_runtime(model, "fp32", "CUDA")
    rings = [on_gpu.ring() for _ in clips]
    for clip, ring in zip(clips, rings, strict=True):
        for frames in clip:
            on_gpu.encode([frames], [ring])
    assert relative_error(on_gpu.classify(rings), runtime.classify(filled(runtime, clips))) <= LIMIT["fp32"]
    on_gpu.close()


@pytest.mark.cuda
@pytest.mark.usefixtures("gpu")
def test_on_a_gpu_nothing_is_allocated_per_hop(model: Model) -> None:
    on_gpu = open_runtime(model, "bf16", "CUDA")
    rings = filled(on_gpu, noise(24).reshape(3, 8, 5, 64, 64, 3))
    on_gpu.classify(rings)
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    for frames in noise(10):
        on_gpu.encode([frames] * 3, rings)
        on_gpu.classify(rings)
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before
    on_gpu.close()


@pytest.mark.cuda
@pytest.mark.usefixtures("gpu")
def test_a_gpu_that_is_nearly_full_gets_smaller_batches_or_a_device_error(model: Model) -> None:
    """PyTorch's own limit leaves less memory than the small network needs."""
    whole_gpu = torch.cuda.mem_get_info()[1]
    seen: set[int | str] = set()
    try:
        for mib in (8, 32, 128, 1024):
            torch.cuda.set_per_process_memory_fraction(mib * 2**20 / whole_gpu)
            try:
                on_gpu = open_runtime(model, "fp32", "CUDA")
            except DeviceError as error:
                seen.add(str(error).partition(" memory")[0])
            else:
                seen.add(on_gpu.batch)
                on_gpu.close()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert {"device CUDA: not enough", 32} <= seen
