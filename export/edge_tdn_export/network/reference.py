"""The full-precision networks of a model folder, with which every exported precision is compared."""

from collections.abc import Sequence

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from edge_tdn.errors import ModelError
from edge_tdn.manifest import InputSpec, Model
from edge_tdn.messages import FRAMES_PER_SEGMENT
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.tdn import TDN, normalise

Features = tuple[tuple[Tensor, ...], ...]  # for each network, the outputs of its `encode`: [segments, ...] each


class Networks:
    """One network, or the networks of an ensemble, whose logits are added."""

    def __init__(self, members: Sequence[TDN], spec: InputSpec) -> None:
        self.members, self.spec = tuple(members), spec

    def encode(self, frames: NDArray[np.uint8]) -> Features:
        """Encode segments, uint8 RGB [B, InputSpec.frames, H, W, 3], to features [B * per_segment, ...]."""
        with torch.inference_mode():
            return tuple(
                network.encode(normalise(torch.from_numpy(own), self.spec.mean, self.spec.std))
                for network, own in zip(self.members, split(frames, self.spec), strict=True)
            )

    def classify(self, features: Features) -> NDArray[np.float32]:
        """Classify the features of one clip's segments: logits float32 [classes]."""
        with torch.inference_mode():
            logits = [network.classify(*own)[0] for network, own in zip(self.members, features, strict=True)]
        total: NDArray[np.float32] = torch.stack(logits).sum(0).numpy()
        return total

    def __call__(self, clip: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run one clip, uint8 RGB [T, InputSpec.frames, H, W, 3]: logits float32 [classes]."""
        return self.classify(self.encode(clip))


def open_networks(model: Model) -> Networks:
    """Build the networks of an opened folder. ModelError: weights and manifest do not match."""
    members = []
    for member in model.manifest.members:
        network = TDN(TDNConfig.of(dict(member.network)))
        checkpoint.fill(network, _state(model, member.weights), model.folder / member.weights)
        members.append(network.eval())
        if members[-1].config.classes != model.manifest.classes:
            raise ModelError(f"{model.folder / member.weights}: not {model.manifest.classes} classes")
    return Networks(members, model.manifest.input)


def _state(model: Model, name: str) -> dict[str, Tensor]:
    """Read weights from the bytes that `open_model` verified."""
    try:
        return safetensors.torch.load(model.read(name))
    except SafetensorError as error:
        raise ModelError(f"{model.folder / name}: {error}; export the model again") from error


def split(frames: NDArray[np.uint8], spec: InputSpec) -> list[NDArray[np.uint8]]:
    """Split [B, InputSpec.frames, H, W, 3] into the segments of each network, oldest first: [B * n, 5, H, W, 3]."""
    ends = np.cumsum([n * FRAMES_PER_SEGMENT for n in spec.per_segment])[:-1]
    return [part.reshape(-1, FRAMES_PER_SEGMENT, *part.shape[2:]) for part in np.split(frames, ends, axis=1)]
