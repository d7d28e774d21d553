"""Fine-tuning on frozen networks: step 2 of `edge-tdn-train finetune` from what things are and how they move."""

from dataclasses import asdict, replace

from edge_tdn_export.progress import stepped
from rich.console import Console

from edge_tdn_training.commands.finetune_data import prepare_data
from edge_tdn_training.commands.finetune_plan import FinetunePlan, FrozenStart
from edge_tdn_training.commands.taught import TaughtModel, TaughtNetwork
from edge_tdn_training.frozen.choice import MIXTURES, fit_networks, know, try_mixtures
from edge_tdn_training.frozen.features import compute_features
from edge_tdn_training.frozen.networks import with_last_layer

MIN_GAIN = 1.2  # accuracy relative to guessing, below which nothing was learned


def learn_last_layer(plan: FinetunePlan, start: FrozenStart, console: Console) -> TaughtModel | None:
    """Decode the videos, compute features, choose the networks and fit a last layer; show what was tried.

    Return None if all layers of `motion` should be trained instead.
    """
    console.print("1/4 videos")
    data = prepare_data(plan, start.spec, start.notes, console)
    mirror = not plan.data.sideways
    names = [one.name for one in start.networks]
    console.print(f"2/4 last layer on the features of {' and '.join(names)}")
    features = compute_features(data.train, start.networks, start.spec, mirror, plan.cache)
    known, classes = know(features, start.networks), len(plan.data.labels)
    with stepped(len(MIXTURES), "trying mixtures of features on held-out clips") as step:
        trials = try_mixtures(known, classes, plan.seed, step)
    taken = trials[0]
    for trial in sorted(trials, key=lambda trial: MIXTURES.index(trial.mixture)):
        console.print(f"  {trial.mixture}: {trial.accuracy:.1%}{' (taken)' if trial is taken else ''}")
    notes = _no_better_than_guessing(taken.accuracy, classes)
    for note in notes:
        console.print(f"  {note}")
    if plan.training and not taken.mixture.uses_appearance:
        return None
    layers = fit_networks(known, start.networks, classes, taken)
    networks = [
        TaughtNetwork(with_last_layer(one.network, layer), (("file", one.source), ("sha256", one.sha256)))
        for one, layer in zip(start.networks, layers, strict=True)
        if layer is not None
    ]
    record = {"clips": len(features.clips), "trials": [asdict(trial) for trial in trials]}
    return TaughtModel(tuple(networks), start.spec, replace(data, notes=(*data.notes, *notes)), record)


def _no_better_than_guessing(accuracy: float, classes: int) -> list[str]:
    """Return a note if the held-out clips are hardly recognised. `accuracy`: mean over the classes."""
    if accuracy >= MIN_GAIN / classes:
        return []
    return [
        f"the classes cannot be told apart: {accuracy:.0%} of the held-out clips are right, guessing gives "
        f"{1 / classes:.0%}; check that the clips show the actions, and that those of two classes are not the same"
    ]
