"""The two graphs as PyTorch programs on CUDA: the camera host's only file that imports torch, and only when asked.

The programs were written by `edge_tdn_export.convert.cuda`, one for each precision, and load without that package.
PyTorch reads parts of a program as a pickle, so that it is code: hashes prove that a folder is unchanged, not that its
author can be trusted.

A hop is some hundred kernels of a few microseconds, so that starting them would take longer than running them.
Therefore everything happens on one stream, in batches of a few fixed sizes, each recorded once as a CUDA graph:

    encode      frames into pinned memory -> one copy to the device -> encoder's graph -> index_copy_ into the store
    classify    index_select from the store -> head's graph -> logits to the host, the only time that we wait

Batches are recorded at open, the largest first: a card that is too small is noticed then and not in the midst of
service, and the smaller ones take no further memory, because all graphs share one pool: they never run at once, and
what one of them gave is used up before the next one runs.
Afterwards nothing is allocated but room for further cameras. FP32 is exact: no TF32.
"""

import gc
import io
import logging
import re
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_tdn.errors import DeviceError, EdgeTdnError, ModelError, last_line
from edge_tdn.inference.runtime import CUDA, Ring
from edge_tdn.manifest import Graphs, Model
from edge_tdn.messages import FRAMES_PER_SEGMENT

log = logging.getLogger(__name__)

BATCHES = (1, 2, 4, 8, 16, 32)  # rows that go through together; what lies between is filled up
DTYPE = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}  # of the features between the two programs
NOBODY = 0  # the slot that filled-up rows are written to, and read from
GIB = 2**30


class SlotRing:
    """Which slots of the store hold one camera's last T segments."""

    def __init__(self, store: "FeatureStore", slots: range) -> None:
        self._store, self._slots = store, slots
        self._count = 0  # segments since the last clear

    @property
    def full(self) -> bool:
        """T segments of one unbroken stretch are there."""
        return self._count >= len(self._slots)

    def clear(self) -> None:
        """Forget everything: no clip spans a gap."""
        self._count = 0

    def newest(self) -> dict[str, NDArray[np.float32]]:
        """What the last segment left: name -> float32 [H, W, C]."""
        return self._store.read(self._slots[(self._count - 1) % len(self._slots)])

    def take(self) -> int:
        """The slot for the next segment."""
        slot = self._slots[self._count % len(self._slots)]
        self._count += 1
        return slot

    @property
    def window(self) -> list[int]:
        """The slots of the last T segments, oldest first."""
        start = self._count % len(self._slots)
        return [*self._slots[start:], *self._slots[:start]]


class FeatureStore:
    """The features of all cameras: one tensor [slots, elements] for each.

    One tensor for all rings, because then two kernels a feature move any number of cameras: one puts segments into
    their slots, one takes windows out. A row is written once and read T times, and needs no twin as on the processor.
    """

    def __init__(self, torch: Any, shapes: Mapping[str, tuple[int, ...]], segments: int, dtype: Any, on: Any) -> None:
        self._torch, self._segments, self._shapes = torch, segments, shapes
        self._rows = [torch.zeros(NOBODY + 1, prod(shape), dtype=dtype, device=on) for shape in shapes.values()]
        self._free: list[range] = []

    @property
    def cameras(self) -> int:
        """How many there is room for."""
        return int((len(self._rows[0]) - 1) // self._segments)

    def ring(self) -> SlotRing:
        """Takes room for one more camera; given back when the ring is forgotten."""
        if not self._free:
            self._grow(max(1, self.cameras))
        slots = self._free.pop()
        ring = SlotRing(self, slots)
        weakref.finalize(ring, self._free.append, slots)
        return ring

    def put(self, slots: Any, features: Sequence[Any]) -> None:
        """features [B, elements] into slots int64 [B]."""
        for rows, feature in zip(self._rows, features, strict=True):
            rows.index_copy_(0, slots, feature)

    def take(self, slots: Any, features: Sequence[Any]) -> None:
        """What lies in slots int64 [B] -> features [B, elements]."""
        for rows, feature in zip(self._rows, features, strict=True):
            self._torch.index_select(rows, 0, slots, out=feature)

    def read(self, slot: int) -> dict[str, NDArray[np.float32]]:
        """One slot, for whoever compares: waits for the device."""
        rows = zip(self._shapes.items(), self._rows, strict=True)
        return {name: row[slot].float().cpu().numpy().reshape(shape) for (name, shape), row in rows}

    def _grow(self, cameras: int) -> None:
        first = len(self._rows[0])
        more = [rows.new_zeros(cameras * self._segments, rows.shape[1]) for rows in self._rows]
        self._rows = [self._torch.cat(pair) for pair in zip(self._rows, more, strict=True)]
        self._free += [range(s, s + self._segments) for s in range(first, len(self._rows[0]), self._segments)]


class Upload:
    """An input of fixed place and size: filled on the host, copied to the device without waiting."""

    def __init__(self, torch: Any, shape: tuple[int, ...], dtype: Any, on: Any) -> None:
        on_cuda = on.type == "cuda"
        self._host = torch.zeros(shape, dtype=dtype, pin_memory=on_cuda)
        self._array = self._host.numpy()
        self._copied = torch.cuda.Event() if on_cuda else None
        self.tensor = torch.zeros(shape, dtype=dtype, device=on) if on_cuda else self._host

    def fill(self, rows: Sequence[Any]) -> None:
        """The first rows; what lies behind them stays."""
        if self._copied:
            self._copied.synchronize()  # the copy before may still be reading
        for number, row in enumerate(rows):
            self._array[number] = row
        if self._copied:
            self.tensor[: len(rows)].copy_(self._host[: len(rows)], non_blocking=True)
            self._copied.record()


@dataclass(frozen=True)
class Batches:
    """Both programs for every size of batch, and the memory that all of them share."""

    frames: Upload  # uint8 [largest, 5, H, W, 3]
    slots: Upload  # int64 [largest], where their features go
    windows: Upload  # int64 [largest * T], where the head's features come from
    features: Sequence[Any]  # these: [largest * T, elements] each
    encoders: Mapping[int, Callable[[], Sequence[Any]]]  # size -> runs frames[:size], gives features [size, elements]
    heads: Mapping[int, Callable[[], Any]]  # size -> runs features[: size * T], gives logits float32 [size, classes]

    def size(self, rows: int) -> int:
        """The smallest that takes so many."""
        return min(size for size in self.heads if size >= rows)


class CudaRuntime:
    """Features stay on the device; frames go up, logits come down. On `device` "cpu" it needs no CUDA.

    There the same code runs, and only recording is left out. `largest`: no batch has more rows.
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
        try:
            import torch
        except ImportError as error:
            raise ModelError("device CUDA needs PyTorch on this host: pip install torch") from error
        if device == CUDA and not torch.cuda.is_available():
            raise ModelError(f"device CUDA is not here: PyTorch {torch.__version__} finds none; see `nvidia-smi`")
        if device == CUDA and precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise ModelError(f"{torch.cuda.get_device_name()} has no bf16; choose the precision fp16 or fp32")
        self.device, self.precision = device, precision
        self._torch = torch
        on_cuda = device == CUDA
        self._on = torch.device("cuda", torch.cuda.current_device()) if on_cuda else torch.device("cpu")
        self._stream: Any = torch.cuda.Stream(self._on) if on_cuda else None  # type: ignore[no-untyped-call]
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        spec = model.manifest.input
        self._frames = (FRAMES_PER_SEGMENT, spec.height, spec.width, 3)
        self._segments, self._shapes = segments, tuple(graphs.features.values())
        self._dtype = getattr(torch, DTYPE[precision])
        sizes = [size for size in BATCHES if size <= largest]
        with self._here():
            with self._enough_memory("for the model"):
                self._encoder, self._head = (self._load(model, name) for name in (graphs.encoder, graphs.head))
                self._store = FeatureStore(torch, graphs.features, segments, self._dtype, self._on)
            try:
                self._batches = self._fitting(sizes)
            except EdgeTdnError:
                raise
            except Exception as error:  # whatever a wrong program makes torch say
                raise ModelError(
                    f"{model.folder / graphs.encoder}, {graphs.head}: do not run on {device}: {last_line(error)}; "
                    "export the model again"
                ) from error
        self.batch = max(self._batches.heads)
        if self.batch < sizes[-1]:
            log.warning(
                "device %s: memory for batches of %d, not of %d: many cameras will take longer",
                device, self.batch, sizes[-1],
            )  # fmt: skip

    def ring(self) -> SlotRing:
        with self._here(), self._enough_memory(f"for more than {self._store.cameras} cameras"):
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
        """Frees the recordings, the programs and the features."""
        if self._stream:
            self._stream.synchronize()
        del self._batches, self._store, self._encoder, self._head
        self._free()

    def _encode(self, frames: Sequence[NDArray[np.uint8]], slots: Sequence[int]) -> None:
        batches = self._batches
        size = batches.size(len(slots))
        with self._here():
            batches.frames.fill(frames)
            batches.slots.fill([*slots, *[NOBODY] * (size - len(slots))])
            self._store.put(batches.slots.tensor[:size], batches.encoders[size]())

    def _classify(self, rings: Sequence[Ring]) -> NDArray[np.float32]:
        batches = self._batches
        slots: list[int] = []
        for ring in rings:
            assert isinstance(ring, SlotRing)
            slots += ring.window
        size = batches.size(len(rings))
        rows = size * self._segments
        with self._here():
            batches.windows.fill([*slots, *[NOBODY] * (rows - len(slots))])
            self._store.take(batches.windows.tensor[:rows], [feature[:rows] for feature in batches.features])
            logits: NDArray[np.float32] = batches.heads[size]()[: len(rings)].cpu().numpy()
        return logits

    def _fitting(self, sizes: Sequence[int]) -> Batches:
        """Recorded in all sizes, or as far as the memory goes. DeviceError: not even one row at a time."""
        if len(sizes) == 1:
            with self._enough_memory("for one camera"):
                return self._recorded(sizes)
        try:
            return self._recorded(sizes)
        except RuntimeError as error:
            if not self._out_of_memory(error):
                raise
        self._free()  # only now: the exception held on to what had been taken
        return self._fitting(sizes[:-1])

    def _recorded(self, sizes: Sequence[int]) -> Batches:
        torch, on, largest = self._torch, self._on, sizes[-1]
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
        pool = torch.cuda.graph_pool_handle() if self._stream else None
        for size in reversed(sizes):
            encoders[size] = self._record(partial(self._run_encoder, batches, size), pool)
            heads[size] = self._record(partial(self._run_head, batches, size), pool)
        return batches

    def _record(self, run: Callable[[], Any], pool: Any) -> Callable[[], Any]:
        """What repeats `run` on the same memory, and gives what it gave: on CUDA its kernels, elsewhere itself."""
        run()  # libraries choose their kernels and load them, which must not happen while recording
        if self._stream is None:
            return run
        graph = self._torch.cuda.CUDAGraph()
        with self._torch.cuda.graph(graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"):
            outputs = run()  # in memory that another recording may use, too: to be read before that one is replayed

        def replay() -> Any:
            graph.replay()
            return outputs

        return replay

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
        """From the verified bytes, not from the file."""
        from torch.export.passes import move_to_device_pass

        try:
            program = self._torch.export.load(io.BytesIO(model.read(name)))
            program = move_to_device_pass(program, str(self._on))  # constants and checks that Module.to does not see
            return program.module().to(memory_format=self._torch.channels_last)  # type: ignore[call-overload]
        except Exception as error:  # torch names no exceptions of its own here
            if self._out_of_memory(error):
                raise
            raise ModelError(f"{model.folder / name}: PyTorch cannot load it: {last_line(error)}") from error

    @contextmanager
    def _here(self) -> Iterator[None]:
        """All that is done on the device."""
        with self._torch.inference_mode(), self._torch.cuda.stream(self._stream):
            yield

    @contextmanager
    def _enough_memory(self, what: str) -> Iterator[None]:
        """DeviceError where the device has too little."""
        try:
            yield
        except RuntimeError as error:
            if not self._out_of_memory(error):
                raise
            asked = re.search(r"allocate ([\d.]+ \w+)", str(error))
            free = ""
            if self._stream:
                here, whole = (size / GIB for size in self._torch.cuda.mem_get_info(self._on))
                free = f", {here:.2f} of {whole:.1f} GiB are free"
            raise DeviceError(
                f"device {self.device}: not enough memory {what} in {self.precision}"
                f"{f': {asked[1]} more were asked for' if asked else ''}{free}; "
                f"{'choose bf16 or fp16, which take half, ' if self.precision == 'fp32' else ''}configure fewer "
                "cameras, or end what else uses the device (`nvidia-smi` lists it)"
            ) from error

    def _out_of_memory(self, error: BaseException) -> bool:
        """PyTorch's own exception; or the driver's, outside PyTorch's allocator; or one of them, while recording."""
        known = isinstance(error, self._torch.OutOfMemoryError) or "out of memory" in str(error)
        return known or (error.__context__ is not None and self._out_of_memory(error.__context__))

    def _free(self) -> None:
        """Gives back what nobody holds."""
        gc.collect()
        if self._stream:
            self._torch.cuda.empty_cache()
