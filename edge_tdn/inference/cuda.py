"""A runtime on CUDA, which runs a model folder's PyTorch programs: the only file of the camera host that imports torch.

torch is imported when a runtime is opened. The programs were written by `edge_tdn_export.convert.cuda`, one pair per
precision, and load without that package. PyTorch reads parts of a program as a pickle, so that it is code: hashes prove
that a folder is unchanged, not that its author can be trusted.

A hop consists of some hundred kernels of a few microseconds, which take longer to start than to run. Therefore all work
is done on one stream, in batches of a few fixed sizes, each recorded once as a CUDA graph:

    encode      frames into pinned memory -> one copy to the device -> encoder's graph -> index_copy_ into the store
    classify    index_select from the store -> head's graph -> logits to the host, the only time that the host waits

Batches are recorded when the runtime is opened, the largest first: a GPU that is too small fails then and not while it
serves. The smaller batches take no further memory, because all graphs share one pool: they never run at once, and the
outputs of one are consumed before the next one runs. Later only room for further cameras is allocated. FP32 is exact:
no TF32.
"""

import gc
import io
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_tdn.errors import DeviceError, EdgeTdnError, ModelError, last_line
from edge_tdn.inference.feature_store import PADDING_SLOT, FeatureStore, SlotRing
from edge_tdn.inference.runtime import CUDA, Ring, UnavailableDeviceError
from edge_tdn.manifest import Graphs, Model
from edge_tdn.messages import FRAMES_PER_SEGMENT
from edge_tdn.shell import install

log = logging.getLogger(__name__)

BATCHES = (1, 2, 4, 8, 16, 32)  # sizes of the recorded batches; a call is padded to the next one
DTYPE = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}  # precision -> type of the features
GIB = 2**30


class Upload:
    """An input of fixed address and size: filled on the host, copied to the device without waiting."""

    def __init__(self, torch: Any, shape: tuple[int, ...], dtype: Any, on: Any) -> None:
        on_cuda = on.type == "cuda"
        self._host = torch.zeros(shape, dtype=dtype, pin_memory=on_cuda)
        self._array = self._host.numpy()
        self._copied = torch.cuda.Event() if on_cuda else None
        self.tensor = torch.zeros(shape, dtype=dtype, device=on) if on_cuda else self._host

    def fill(self, rows: Sequence[Any]) -> None:
        """Replace the first rows; the others stay."""
        if self._copied:
            self._copied.synchronize()  # the previous copy may still be reading
        for number, row in enumerate(rows):
            self._array[number] = row
        if self._copied:
            self.tensor[: len(rows)].copy_(self._host[: len(rows)], non_blocking=True)
            self._copied.record()


@dataclass(frozen=True)
class Batches:
    """Both programs for every batch size, and the memory that all sizes share."""

    frames: Upload  # uint8 [largest, 5, H, W, 3], RGB
    slots: Upload  # int64 [largest], destinations of their features
    windows: Upload  # int64 [largest * T], sources of the head's features
    features: Sequence[Any]  # the head's features: [largest * T, elements] each
    encoders: Mapping[int, Callable[[], Sequence[Any]]]  # size -> frames[:size] to features [size, elements]
    heads: Mapping[int, Callable[[], Any]]  # size -> features[: size * T] to logits float32 [size, classes]

    def size(self, rows: int) -> int:
        """Return the smallest size for a number of rows."""
        return min(size for size in self.heads if size >= rows)


class TorchDevice:
    """A device of PyTorch's: its stream, its memory, and the recording of kernels. Used by the runtime's thread.

    `name`: CUDA, or cpu, where recording is left out. ModelError: the device does not exist or lacks the precision.
    """

    def __init__(self, name: str, precision: str) -> None:
        try:
            import torch
        except ImportError as error:
            raise UnavailableDeviceError(f"device CUDA needs PyTorch on this host: {install('torch')}") from error
        if name == CUDA and not torch.cuda.is_available():
            reason = f"PyTorch {torch.__version__} finds none; see `nvidia-smi`"
            raise UnavailableDeviceError(f"device CUDA is not available: {reason}")
        if name == CUDA and precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise ModelError(f"{torch.cuda.get_device_name()} has no bf16; choose the precision fp16 or fp32")
        self.name, self._precision, self.torch = name, precision, torch
        on_cuda = name == CUDA
        self.on = torch.device("cuda", torch.cuda.current_device()) if on_cuda else torch.device("cpu")
        self.stream: Any = torch.cuda.Stream(self.on) if on_cuda else None  # type: ignore[no-untyped-call]
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False

    @contextmanager
    def active(self) -> Iterator[None]:
        """Do everything within the block on this device's stream."""
        with self.torch.inference_mode(), self.torch.cuda.stream(self.stream):
            yield

    def record(self, run: Callable[[], Any], pool: Any) -> Callable[[], Any]:
        """Return a function that repeats `run` on the same memory: on CUDA its recorded kernels, elsewhere itself."""
        run()  # libraries choose and load their kernels now, which must not happen while recording
        if self.stream is None:
            return run
        graph = self.torch.cuda.CUDAGraph()
        with self.torch.cuda.graph(graph, pool=pool, stream=self.stream, capture_error_mode="thread_local"):
            outputs = run()  # another recording may use the same memory: read these before that one is replayed

        def replay() -> Any:
            graph.replay()
            return outputs

        return replay

    def pool(self) -> Any:
        """Return a memory pool for recordings that never run at once."""
        return self.torch.cuda.graph_pool_handle() if self.stream else None

    def synchronize(self) -> None:
        """Wait until all work is done."""
        if self.stream:
            self.stream.synchronize()

    def free(self) -> None:
        """Return unused memory to the device. PyTorch's programs are cycles, which only the garbage collector frees."""
        gc.collect()
        if self.stream:
            self.torch.cuda.empty_cache()

    @contextmanager
    def enough_memory(self, purpose: str) -> Iterator[None]:
        """Raise a DeviceError if memory runs out within the block. `purpose`: as in `for one camera`."""
        try:
            yield
        except RuntimeError as error:
            if not self.is_out_of_memory(error):
                raise
            requested = re.search(r"allocate ([\d.]+ \w+)", str(error))
            free = ""
            if self.stream:
                free_gib, total_gib = (size / GIB for size in self.torch.cuda.mem_get_info(self.on))
                free = f", {free_gib:.2f} of {total_gib:.1f} GiB are free"
            raise DeviceError(
                f"device {self.name}: not enough memory {purpose} in {self._precision}"
                f"{f': {requested[1]} more were requested' if requested else ''}{free}; "
                f"{'choose bf16 or fp16, which take half, ' if self._precision == 'fp32' else ''}configure fewer "
                "cameras, or end other programs on the device (`nvidia-smi` lists them)"
            ) from error

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Recognise PyTorch's own exception, the driver's outside PyTorch's allocator, or either while recording."""
        known = isinstance(error, self.torch.OutOfMemoryError) or "out of memory" in str(error)
        return known or (error.__context__ is not None and self.is_out_of_memory(error.__context__))


class CudaRuntime:
    """A runtime whose features stay on the device; frames are copied up, logits down. Used by one thread.

    `segments`: T. `device`: CUDA, or cpu for tests: the same code, without recording. `largest`: the largest batch.
    """

    def __init__(
        self,
        model: Model,
        graphs: Graphs,
        segments: int,
        precision: str,
        device: str = CUDA,
        largest: int = BATCHES[-1],
    ) -> None:
        self.device, self.precision = device, precision
        self._device = TorchDevice(device, precision)
        spec = model.manifest.input
        self._frames = (FRAMES_PER_SEGMENT, spec.height, spec.width, 3)
        self._segments, self._shapes = segments, tuple(graphs.features.values())
        self._dtype = getattr(self._device.torch, DTYPE[precision])
        sizes = [size for size in BATCHES if size <= largest]
        with self._device.active():
            with self._device.enough_memory("for the model"):
                self._encoder, self._head = (self._load(model, name) for name in (graphs.encoder, graphs.head))
                self._store = FeatureStore(self._device.torch, graphs.features, segments, self._dtype, self._device.on)
            try:
                self._batches = self._fitting(sizes)
            except EdgeTdnError:
                raise
            except Exception as error:  # torch raises anything for an invalid program
                raise ModelError(
                    f"{model.folder / graphs.encoder}, {graphs.head}: do not run on {device}: {last_line(error)}; "
                    "export the model again"
                ) from error
        self.batch = max(self._batches.heads)
        if self.batch < sizes[-1]:
            log.warning(
                "device %s: memory for batches of %d, not of %d: many cameras will take longer",
                device,
                self.batch,
                sizes[-1],
            )

    def ring(self) -> SlotRing:
        with self._device.active(), self._device.enough_memory(f"for more than {self._store.cameras} cameras"):
            return self._store.ring()

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[Ring]) -> None:
        frames: list[NDArray[np.uint8]] = []
        slots: list[int] = []
        for one, ring in zip(segments, rings, strict=True):
            assert isinstance(ring, SlotRing)
            slot = ring.take()
            if len(slots) == self.batch or slot in slots:  # a ring that takes more than T overwrites its own, in order
                self._encode(frames, slots)
                frames, slots = [], []
            frames.append(one)
            slots.append(slot)
        self._encode(frames, slots)

    def classify(self, rings: Sequence[Ring]) -> NDArray[np.float32]:
        return np.concatenate([self._classify(rings[n : n + self.batch]) for n in range(0, len(rings), self.batch)])

    def close(self) -> None:
        """Free the recordings, the programs and the features."""
        self._device.synchronize()
        del self._batches, self._store, self._encoder, self._head
        self._device.free()

    def _encode(self, frames: Sequence[NDArray[np.uint8]], slots: Sequence[int]) -> None:
        batches = self._batches
        size = batches.size(len(slots))
        with self._device.active():
            batches.frames.fill(frames)
            batches.slots.fill([*slots, *[PADDING_SLOT] * (size - len(slots))])
            self._store.put(batches.slots.tensor[:size], batches.encoders[size]())

    def _classify(self, rings: Sequence[Ring]) -> NDArray[np.float32]:
        batches = self._batches
        slots: list[int] = []
        for ring in rings:
            assert isinstance(ring, SlotRing)
            slots += ring.window
        size = batches.size(len(rings))
        rows = size * self._segments
        with self._device.active():
            batches.windows.fill([*slots, *[PADDING_SLOT] * (rows - len(slots))])
            self._store.take(batches.windows.tensor[:rows], [feature[:rows] for feature in batches.features])
            logits: NDArray[np.float32] = batches.heads[size]()[: len(rings)].cpu().numpy()
        return logits

    def _fitting(self, sizes: Sequence[int]) -> Batches:
        """Record all sizes, or as many as fit into memory. DeviceError: not even one row at a time fits."""
        if len(sizes) == 1:
            with self._device.enough_memory("for one camera"):
                return self._recorded(sizes)
        try:
            return self._recorded(sizes)
        except RuntimeError as error:
            if not self._device.is_out_of_memory(error):
                raise
        self._device.free()  # only now, since the exception still referred to the memory
        return self._fitting(sizes[:-1])

    def _recorded(self, sizes: Sequence[int]) -> Batches:
        torch, on, largest = self._device.torch, self._device.on, sizes[-1]
        clips = largest * self._segments
        encoders: dict[int, Any] = {}
        heads: dict[int, Any] = {}
        batches = Batches(
            frames=Upload(torch, (largest, *self._frames), torch.uint8, on),
            slots=Upload(torch, (largest,), torch.int64, on),
            windows=Upload(torch, (clips,), torch.int64, on),
            features=[torch.zeros(clips, prod(shape), dtype=self._dtype, device=on) for shape in self._shapes],
            encoders=encoders,
            heads=heads,
        )
        pool = self._device.pool()
        for size in reversed(sizes):
            encoders[size] = self._device.record(partial(self._run_encoder, batches, size), pool)
            heads[size] = self._device.record(partial(self._run_head, batches, size), pool)
        return batches

    def _run_encoder(self, batches: Batches, size: int) -> list[Any]:
        return [feature.flatten(1) for feature in self._encoder(batches.frames.tensor[:size])]

    def _run_head(self, batches: Batches, size: int) -> Any:
        rows = size * self._segments
        return self._head(
            *(
                feature[:rows].view(size, self._segments, *shape)
                for feature, shape in zip(batches.features, self._shapes, strict=True)
            )
        )

    def _load(self, model: Model, name: str) -> Any:
        """Load a program from its verified bytes, not from the file."""
        from torch.export.passes import move_to_device_pass

        torch = self._device.torch
        try:
            program = torch.export.load(io.BytesIO(model.read(name)))
            program = move_to_device_pass(program, str(self._device.on))  # moves constants too, unlike Module.to
            return program.module().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        except Exception as error:  # torch has no exception type of its own here
            if self._device.is_out_of_memory(error):
                raise
            raise ModelError(
                f"{model.folder / name}: PyTorch cannot load it: {last_line(error)}; export the model again"
            ) from error
