"""Fine-tuning on frozen networks: step 2 of `edge-tdn-train finetune` from what things are and how they move."""

from collections.abc import Sequence
from dataclasses import asdict, replace

from edge_tdn_export.progress import begin_step, stepped
from rich.console import Console

from edge_tdn_training.commands.finetune_data import prepare_data
from edge_tdn_training.commands.finetune_plan import STEPS, FinetunePlan, FrozenStart
from edge_tdn_training.commands.finetuned import FinetunedModel, FinetunedNetwork
from edge_tdn_training.frozen.choice import MIXTURES, UNTRIED, MixtureTrial, combine, fit_networks, try_mixtures
from edge_tdn_training.frozen.features import compute_features
from edge_tdn_training.frozen.networks import with_last_layer

MIN_GAIN = 1.2  # accuracy relative to guessing, below which nothing was learned


def learn_last_layer(plan: FinetunePlan, start: FrozenStart, console: Console) -> FinetunedModel:
    """Decode the videos, compute features, choose their mixture and fit a last layer; show what was tried."""
    begin_step(console, 1, STEPS, "videos")
    data = prepare_data(plan, start.spec, start.notes, console)
    mirror = not plan.data.sideways
    names = " and ".join(one.name for one in start.networks)
    begin_step(console, 2, STEPS, f"last layer on the features of {names}")
    features = compute_features(data.train, start.networks, start.spec, mirror, plan.cache)
    combined, classes = combine(features, start.networks), len(plan.data.labels)
    with stepped(len(MIXTURES), "trying mixtures of features on held-out clips") as step:
        trials = tuple(try_mixtures(combined, classes, plan.seed, step))
    mixture, logit_scale = (trials[0].mixture, trials[0].logit_scale) if trials else (UNTRIED, 1.0)
    notes = _notes(trials, classes)
    for line in (*_table(trials), *notes):
        console.print(f"  {line}")
    layers = fit_networks(combined, start.networks, classes, mixture, logit_scale)
    networks = [
        FinetunedNetwork(with_last_layer(one.network, layer), (("file", one.source), ("sha256", one.sha256)))
        for one, layer in zip(start.networks, layers, strict=True)
        if layer is not None
    ]
    record = {
        "clips": len(features.clips),
        "mixture": str(mixture),
        "mixtures": [{**asdict(trial), "mixture": str(trial.mixture)} for trial in trials],
        "data": data.train.summary(),
    }
    data = replace(data, notes=(*data.notes, *notes))
    return FinetunedModel(tuple(networks), start.spec, data, record)


def _table(trials: Sequence[MixtureTrial]) -> list[str]:
    """Return a line for each mixture, in the order in which they were tried."""
    in_order = sorted(trials, key=lambda trial: MIXTURES.index(trial.mixture))
    return [
        f"{trial.mixture}: {trial.accuracy:.1%} of held-out clips{' (taken)' if trial is trials[0] else ''}"
        for trial in in_order
    ]


def _notes(trials: Sequence[MixtureTrial], classes: int) -> list[str]:
    """Return a note if there is nothing to compare, or if the held-out clips are hardly recognised."""
    if not trials:
        return [f"too few clips to compare mixtures of features: took {UNTRIED}; record more"]
    if trials[0].accuracy >= MIN_GAIN / classes:
        return []
    return [
        f"the classes cannot be distinguished: {trials[0].accuracy:.0%} of the held-out clips are right, guessing "
        f"gives {1 / classes:.0%}; check that the clips show the actions, and that no two classes have the same ones"
    ]
