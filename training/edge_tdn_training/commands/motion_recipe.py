"""The recipe of the shipped model `motion`, which the ablation uses as well: network, numbers of clips, schedule."""

from edge_tdn.inference.cpu_features import cpu_flags
from edge_tdn_training.loop.distributed import DistributedContext
from edge_tdn_training.synthetic.clips import SPEC
from edge_tdn_training.training_config import Precision, TrainingConfig

NETWORK = {"arch": "resnet18", "width": 0.5, "segments": SPEC.segments}
WARM_UP_SHARE = 0.2  # of all epochs
MAX_GRADIENT_NORM = 5.0
FAST_BF16 = {"avx512_bf16", "amx_bf16"}  # CPU flags, as Linux names them


def one_cycle(
    epochs: int,
    context: DistributedContext,
    rate: float,
    batch: int,
    views: int,
    seed: int,
    precision: Precision | None = None,
) -> TrainingConfig:
    """Return a schedule whose rate rises and then falls to 0, without dropout, since no clip occurs twice.

    `precision`: None for BF16 where it is fast.
    """
    fast = context.device.type == "cuda" or not FAST_BF16.isdisjoint(cpu_flags())
    return TrainingConfig(
        epochs=epochs,
        rate=rate,
        warm_up_epochs=WARM_UP_SHARE * epochs,
        cosine=True,
        batch=batch,
        nesterov=True,
        dropout=0.0,
        clip=MAX_GRADIENT_NORM,
        partial_norm=False,
        flip=False,
        views=views,
        precision=precision or ("bf16" if fast else "fp32"),
        seed=seed,
    )
