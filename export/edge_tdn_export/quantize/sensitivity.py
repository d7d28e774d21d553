"""How near a quantised network is to FP32, and which of its operators it takes to be nearer.

All of this is measured on held-out clips, by taking the graphs that are quantised throughout and putting operators
back (`in_floating_point`): that costs a second, where another quantisation takes a minute.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from edge_tdn.inference.openvino import EXECUTION, compile_graph
from edge_tdn.manifest import InputSpec
from edge_tdn_export.network.reference import split
from edge_tdn_export.parity.result import Limits, divergence
from edge_tdn_export.quantize.clip_split import ClipSet
from edge_tdn_export.quantize.operators import Operator, Part, in_floating_point, multiply_adds

FEWEST, MOST = 4, 16  # clips that operators are tried on one by one; in between as many as WORK allows
WORK = 4e13  # multiply-adds of all these trials together: some minutes on two cores
MOST_DROPS = 8  # exceptions that are tried to do without, the least sensitive ones first

Array = NDArray[Any]
Graphs = Mapping[Part, ov.Model]
Step = Callable[[str, int, int], None]  # what, how many are done, of how many
Run = Callable[[Any], dict[str, Array]]  # a compiled graph: its inputs -> its outputs, by their names


@dataclass(frozen=True)
class Figures:
    """How near to FP32."""

    top1_agreement: float
    mean_kl: float  # nats, FP32's softmax first; infinite where a logit is not a number

    def keep(self, limits: Limits) -> bool:
        assert limits.mean_kl is not None
        return self.top1_agreement >= limits.top1_agreement and self.mean_kl <= limits.mean_kl

    def __str__(self) -> str:
        return f"top-1 agreement {self.top1_agreement:.1%}, mean KL {self.mean_kl:.2g}"


@dataclass(frozen=True)
class Sensitivity:
    """What it gains to leave one operator in floating point."""

    operator: Operator
    mean_kl: float  # nats, everything else in INT8
    gain: float  # nats of mean KL, against everything in INT8 on the same clips


class Bench:
    """The held-out clips, FP32's logits for them, and how graphs compare."""

    def __init__(self, spec: InputSpec, clips: ClipSet, fp32: Graphs, step: Step) -> None:
        self._spec, self._clips, self._fp32, self._step = spec, clips, fp32, step
        self._expected: list[Array] = []

    def expect(self, score: Callable[[Array], Array]) -> None:
        """What FP32 says, by a function of a clip, uint8 [T, InputSpec.frames, H, W, 3] -> logits [classes]."""
        self._expected = self._logits(score, "FP32")

    def figures(self, score: Callable[[Array], Array], what: str) -> Figures:
        """How near to FP32 another such function is."""
        return compare(self._expected, self._logits(score, what))

    def sensitivities(self, everything: Graphs, operators: Sequence[Operator]) -> tuple[list[Sensitivity], int]:
        """Each operator alone back in floating point, the most sensitive first; and on how many clips: on those that
        say most, see `_worst`."""
        chain = Chain(everything, self._spec)
        worst = self._worst(chain, operators)
        expected = [self._expected[n] for n in worst]
        frames = [split(self._clip(n), self._spec) for n in worst]
        features = [chain.encode(own) for own in frames]
        logits = [chain.classify(own) for own in features]  # of each clip, [networks, classes]
        base = compare(expected, [own.sum(0) for own in logits]).mean_kl
        found = []
        for done, operator in enumerate(operators):
            self._step(f"sensitivity {done + 1} of {len(operators)}: {operator.name}", done, len(operators))
            number, half = part = operator.part
            run = chain.compile(in_floating_point(everything[part], self._fp32[part], operator.nodes), part)
            changed = []
            for clip, before, own in zip(frames, features, logits, strict=True):
                after = run(before[number]) if half == "head" else chain.run[number, "head"](run(clip[number]))
                changed.append(own.sum(0) - own[number] + after["logits"][0])
            kl = compare(expected, changed).mean_kl
            found.append(Sensitivity(operator, kl, base - kl))
        return sorted(found, key=lambda one: one.mean_kl), len(worst)

    def _worst(self, chain: "Chain", operators: Sequence[Operator]) -> list[int]:
        """A few clips: those with another label first, then the least near. Of large networks fewer."""
        logits = self._logits(chain.score, "everything in INT8")
        each = [compare([own], [got]) for own, got in zip(self._expected, logits, strict=True)]
        one = sum(multiply_adds(graph, chain.batch(part[0])) for part, graph in self._fp32.items())
        count = int(np.clip(WORK / (one * len(operators)), FEWEST, MOST))
        return sorted(range(len(each)), key=lambda n: (each[n].top1_agreement, -each[n].mean_kl))[:count]

    def restored(self, everything: Graphs, chosen: Sequence[Operator]) -> Figures:
        """Everything in INT8 but for these, on all clips."""
        graphs = {}
        for part, graph in everything.items():
            nodes = [node for operator in chosen if operator.part == part for node in operator.nodes]
            graphs[part] = in_floating_point(graph, self._fp32[part], nodes)
        return self.figures(Chain(graphs, self._spec).score, f"trying {len(chosen)} exceptions")

    def fewest(self, everything: Graphs, order: Sequence[Operator], limits: Limits) -> list[Operator]:
        """The first operators of `order` that keep the limits, but for those without which they keep them too.

        All of them together are known to keep the limits.
        """
        tried: dict[frozenset[Operator], bool] = {}

        def keep(chosen: Sequence[Operator]) -> bool:
            key = frozenset(chosen)
            if key not in tried:
                tried[key] = self.restored(everything, chosen).keep(limits)
            return tried[key]

        too_few, enough = 0, 1
        while enough < len(order) and not keep(order[:enough]):
            too_few, enough = enough, min(2 * enough, len(order))
        while enough - too_few > 1:
            middle = (enough + too_few) // 2
            too_few, enough = (too_few, middle) if keep(order[:middle]) else (middle, enough)
        chosen = list(order[:enough])
        for operator in reversed(chosen[-1 - MOST_DROPS : -1]):  # the last one is needed: bisection found that
            without = [other for other in chosen if other != operator]
            if keep(without):
                chosen = without
        return chosen

    def _clip(self, number: int) -> Array:
        recording, last = self._clips.clips[number]
        return recording.clip(last, self._spec)

    def _logits(self, score: Callable[[Array], Array], what: str) -> list[Array]:
        found = []
        for number in range(len(self._clips.clips)):
            self._step(what, number, len(self._clips.clips))
            found.append(score(self._clip(number)))
        return found


class Chain:
    """Graphs of all networks, compiled. They compute what a host computes, a whole clip's segments at once."""

    def __init__(self, graphs: Graphs, spec: InputSpec) -> None:
        self._core, self._spec = ov.Core(), spec
        self.run = {part: self.compile(graph, part) for part, graph in graphs.items()}

    def score(self, clip: Array) -> Array:
        """uint8 [T, InputSpec.frames, H, W, 3] -> logits [classes]."""
        total: Array = self.classify(self.encode(split(clip, self._spec))).sum(0)
        return total

    def encode(self, clip: Sequence[Array]) -> list[dict[str, Array]]:
        """Each network's segments, uint8 [T, 5, H, W, 3] -> its features."""
        return [self.run[number, "encoder"](frames) for number, frames in enumerate(clip)]

    def classify(self, features: Sequence[dict[str, Array]]) -> Array:
        """Each network's features -> logits [networks, classes]."""
        return np.stack([self.run[number, "head"](own)["logits"][0] for number, own in enumerate(features)])

    def batch(self, number: int) -> int:
        """Segments of a network's clip."""
        return self._spec.of(number).segments

    def compile(self, graph: ov.Model, part: Part) -> Run:
        if graph.is_dynamic():
            graph = graph.clone()
            (frames,) = graph.inputs
            graph.reshape({frames: [self.batch(part[0]), *(d.get_length() for d in list(frames.partial_shape)[1:])]})
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": EXECUTION["int8"]}
        compiled = compile_graph(self._core, graph, "CPU", options)
        names = [output.get_any_name() for output in compiled.outputs]

        def run(inputs: Any) -> dict[str, Array]:
            outputs = compiled(inputs)
            return {name: outputs[name].copy() for name in names}

        return run


def compare(expected: Sequence[Array], got: Sequence[Array]) -> Figures:
    """Logits [classes] of the same clips."""
    kl = float(np.mean([divergence(one, other) for one, other in zip(expected, got, strict=True)]))
    same = float(np.mean([one.argmax() == other.argmax() for one, other in zip(expected, got, strict=True)]))
    return Figures(same, kl if np.isfinite(kl) else np.inf)
