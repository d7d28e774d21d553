"""Measure which operators lose the most accuracy in INT8, and choose the fewest exceptions that keep the limits.

All trials run on the graphs that are quantised throughout, with operators restored to floating point
(`in_floating_point`): that takes a second, where quantising again takes a minute. They run on calibration clips: the
held-out clips, which the verdict is on, do not choose the exceptions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_tdn_export.network.reference import split
from edge_tdn_export.quantize.agreement import Agreement, ReferenceClips, compare
from edge_tdn_export.quantize.compiled import CompiledNetworks, GraphMap
from edge_tdn_export.quantize.inputs import QuantizationInputs
from edge_tdn_export.quantize.operators import Operator, in_floating_point, multiply_adds

MIN_CLIPS, MAX_CLIPS = 4, 16  # on which single operators are tried; in between by MAX_MULTIPLY_ADDS
MAX_MULTIPLY_ADDS = 4e13  # of all these trials together: some minutes on two cores
MAX_DROPS = 8  # exceptions that are tried to drop again, the least sensitive ones first


@dataclass(frozen=True)
class Sensitivity:
    """The gain of leaving one operator in floating point."""

    operator: Operator
    mean_kl: float  # nats, with all other operators in INT8
    gain: float  # nats of mean KL, compared with all operators in INT8 on the same clips


@dataclass(frozen=True)
class Ranking:
    """The sensitivities of all operators."""

    sensitivities: tuple[Sensitivity, ...] = ()  # the most sensitive operator first
    clips: int = 0  # on which they were measured

    @property
    def operators(self) -> list[Operator]:
        return [one.operator for one in self.sensitivities]


def rank_operators(inputs: QuantizationInputs, everything: GraphMap) -> Ranking:
    """Restore each operator alone to floating point and measure the gain, on the clips that INT8 changes most.

    `everything`: the graphs with all operators in INT8.
    """
    spec, clips = inputs.spec, inputs.selection
    networks = CompiledNetworks(everything, spec)
    worst = _worst_clips(inputs, networks)
    expected = [clips.logits[n] for n in worst]
    frames = [split(clips.clip(n), spec) for n in worst]
    features = [networks.encode(own) for own in frames]
    logits = [networks.classify(own) for own in features]  # of each clip, [networks, classes]
    base = compare(expected, [own.sum(0) for own in logits]).mean_kl
    found = []
    count = len(inputs.operators)
    for done, operator in enumerate(inputs.operators):
        inputs.progress(f"operators alone in floating point: {operator.name}", done, count)
        key = operator.part
        number, half = key
        run = networks.compile(in_floating_point(everything[key], inputs.fp32[key], operator.nodes), key)
        changed = []
        for clip, before, own in zip(frames, features, logits, strict=True):
            after = run(before[number]) if half == "head" else networks.run[number, "head"](run(clip[number]))
            changed.append(own.sum(0) - own[number] + after["logits"][0])
        kl = compare(expected, changed).mean_kl
        found.append(Sensitivity(operator, kl, base - kl))
    return Ranking(tuple(sorted(found, key=lambda one: one.mean_kl)), len(worst))


def restored(
    inputs: QuantizationInputs, everything: GraphMap, chosen: Sequence[Operator], clips: ReferenceClips
) -> Agreement:
    """Measure the agreement with the `chosen` operators restored to floating point, on all of `clips`."""
    graphs = {}
    for key, graph in everything.items():
        nodes = [node for operator in chosen if operator.part == key for node in operator.nodes]
        graphs[key] = in_floating_point(graph, inputs.fp32[key], nodes)
    score = CompiledNetworks(graphs, inputs.spec).score
    return clips.agreement(score, f"trying {len(chosen)} exceptions", inputs.progress)


def fewest_exceptions(order: Sequence[Operator], keep_limits: Callable[[Sequence[Operator]], bool]) -> list[Operator]:
    """Return the first operators of `order` that keep the limits, without those that can be dropped again.

    All operators of `order` together must keep the limits. The number is found by bisection. `keep_limits` is called
    once for each set of exceptions.
    """
    tried: dict[frozenset[Operator], bool] = {}

    def keeps(chosen: Sequence[Operator]) -> bool:
        key = frozenset(chosen)
        if key not in tried:
            tried[key] = keep_limits(chosen)
        return tried[key]

    too_few, enough = 0, 1
    while enough < len(order) and not keeps(order[:enough]):
        too_few, enough = enough, min(2 * enough, len(order))
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        too_few, enough = (too_few, middle) if keeps(order[:middle]) else (middle, enough)
    chosen = list(order[:enough])
    for operator in reversed(chosen[-1 - MAX_DROPS : -1]):  # bisection has shown that the last one is needed
        without = [other for other in chosen if other != operator]
        if keeps(without):
            chosen = without
    return chosen


def _worst_clips(inputs: QuantizationInputs, networks: CompiledNetworks) -> list[int]:
    """Return the numbers of a few clips: first those with another first label, then by divergence.

    Larger networks get fewer clips.
    """
    clips = inputs.selection
    logits = clips.scores(networks.score, "everything in INT8", inputs.progress)
    each = [compare([own], [got]) for own, got in zip(clips.logits, logits, strict=True)]
    per_clip = sum(multiply_adds(graph, networks.batch(key[0])) for key, graph in inputs.fp32.items())
    count = int(np.clip(MAX_MULTIPLY_ADDS / (per_clip * len(inputs.operators)), MIN_CLIPS, MAX_CLIPS))
    return sorted(range(len(each)), key=lambda n: (each[n].top1_agreement, -each[n].mean_kl))[:count]
