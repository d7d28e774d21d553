"""The options that define a TDN. Imports no torch, so that command lines can list them without loading it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from edge_tdn.errors import ModelError

DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
BASIC = ("resnet18", "resnet34")  # blocks of two 3x3 convolutions; the others have 1x1, 3x3, 1x1
STAGES = (2, 3, 4, 5)  # the residual stages; stage 1 is the stem
FUSIONS = ("weighted", "add", "attention")
TEMPORALS = ("conv", "shift", "online_shift")
UPSAMPLINGS = ("nearest", "bilinear")
STRIDE_CONVS = ("3x3", "1x1")
POOLINGS = {"mean": 1, "statistics": 3}  # -> inputs of the linear layer, in channels of res5
MIN_WIDTH, MAX_WIDTH = 0.125, 2.0
MAX_SHRINK = 4


@dataclass(frozen=True)
class TDNConfig:
    """The architecture of a TDN; the manifest keeps it, so that weights always come with their network.

    The defaults are those of the published weights. Other values are the paper's ablations: TSN has empty
    `stdm_stages`, `ltdm_stages` and `temporal_conv_stages`, T-Conv only the first two, TSM as well, with `temporal`
    "shift".
    """

    arch: str = "resnet50"  # one of DEPTHS
    segments: int = 8  # T
    classes: int = 174
    width: float = 1.0  # channels relative to the named ResNet, rounded to multiples of 8
    conv_bias: bool = True  # published weights have a bias on every backbone convolution, before its batch norm
    stdm_stages: tuple[int, ...] = (1, 2)  # stages after which short-term differences are fused in (tables 1c, 5)
    stdm_fusion: str = "weighted"  # one of FUSIONS (table 1a); "add" is equation 1, "weighted" the published code
    ltdm_stages: tuple[int, ...] = (3, 4, 5)  # stages whose blocks have an L-TDM (tables 1c, 5)
    ltdm_multiscale: bool = True  # table 1b; False: only the finest of the three scales
    ltdm_bidirectional: bool = True  # table 1b; False: only the difference to the next segment
    ltdm_attention: bool = True  # table 1b; False: the motion feature is added instead of gating
    temporal_conv_stages: tuple[int, ...] = (3, 4, 5)  # stages whose blocks have a temporal layer
    temporal: str = "conv"  # one of TEMPORALS (table 1d); "shift": TSM's, not learned; "online_shift": from the past
    upsample: str = "nearest"  # one of UPSAMPLINGS; the paper: bilinear, the published weights: nearest
    pooling: str = "mean"  # one of POOLINGS: of the segments; "statistics": mean, mean |difference| and maximum
    stride_conv: str = "3x3"  # one of STRIDE_CONVS: which one of a bottleneck halves a stage; "1x1": He's weights
    shrink: int = 1  # side of the squares of pixels that are averaged to one before the network

    def __post_init__(self) -> None:
        for name in ("stdm_stages", "ltdm_stages", "temporal_conv_stages"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))
        allowed: dict[str, Sequence[Any]] = {
            "arch": tuple(DEPTHS),
            "stdm_fusion": FUSIONS,
            "temporal": TEMPORALS,
            "upsample": UPSAMPLINGS,
            "stride_conv": STRIDE_CONVS,
            "pooling": tuple(POOLINGS),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ModelError(f"{name} {getattr(self, name)!r} is not known; allowed: {', '.join(values)}")
        for name, first in (("stdm_stages", 1), ("ltdm_stages", 2), ("temporal_conv_stages", 2)):
            wrong = [stage for stage in getattr(self, name) if not first <= stage <= 5]
            if wrong:
                raise ModelError(f"{name} {wrong[0]} is not known; allowed: {first} to 5")
        if self.segments < 2:
            raise ModelError(f"segments {self.segments} is too few: long-term differences need at least 2")
        if self.classes < 1:
            raise ModelError(f"classes {self.classes} is too few: at least 1")
        if not 1 <= self.shrink <= MAX_SHRINK:
            raise ModelError(f"shrink {self.shrink} is out of range: 1 to {MAX_SHRINK}")
        if not MIN_WIDTH <= self.width <= MAX_WIDTH:
            raise ModelError(f"width {self.width} is out of range: {MIN_WIDTH:g} to {MAX_WIDTH:g}")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, values: dict[str, Any]) -> "TDNConfig":
        """Read the output of `as_dict`, with JSON's lists. ModelError: an unknown name, a value of a wrong type."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ModelError(f"network: unknown option {unknown[0]!r}; written by a newer version?")
        options: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        for field in fields(cls):
            value, kind = options.get(field.name, field.default), type(field.default)
            parts = value if isinstance(value, tuple) else ()
            fits = type(value) is kind or (kind is float and type(value) is int)
            if not fits or any(type(part) is not int for part in parts):
                required = "a list of stages" if kind is tuple else kind.__name__
                raise ModelError(f"network: {field.name} must be {required}, got {value!r}")
        return cls(**options)

    @property
    def fusion(self) -> tuple[float, float]:
        """Return alpha and beta, the weights of centre frame and difference (equation 1; published: chosen by T)."""
        if self.stdm_fusion != "weighted":
            return 1.0, 1.0
        return (0.5, 0.5) if self.segments < 16 else (0.75, 0.25)

    @property
    def cut(self) -> int | None:
        """Return the first stage with a layer that reads neighbouring segments; None if none does before the mean."""
        return min((*self.ltdm_stages, *self.temporal_conv_stages), default=None)

    def channels(self, n: int) -> int:
        """Return the number of channels at this width for `n` channels of the named ResNet."""
        return max(8, round(n * self.width / 8) * 8)
