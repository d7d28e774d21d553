"""Readable names of graph nodes, after the network's modules: the same in PyTorch, ONNX and OpenVINO.

`res4.2.ltdm/sub_2` is the second subtraction in the L-TDM of res4's third block; `res4.2.bn1` is the output of that
batch norm, whichever node an exporter has folded it into. Reports and errors use these names.
"""

import operator
import re
from collections import Counter
from collections.abc import Mapping

import onnx
from torch import Tensor, fx, nn

VIEWS = ("slice", "select", "view", "_unsafe_view", "split", "permute", "unsqueeze", "flatten", "getitem", "alias")


def node_names(graph: fx.Graph, modules: Mapping[str, nn.Module], root: str) -> dict[str, str]:
    """Map the nodes of a traced graph to readable names, one to one. `root`: prefix of all module paths, left out.

    Views of other nodes get no name: exporters add and drop them, so that counting them would shift the other names.
    """
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()
    owners: dict[str, str] = {}  # node -> module path
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        path = _path(node).removeprefix(root).strip(".")
        module = modules.get(path) if path else None
        if not path:  # between modules: named after the module whose output it reads
            path = next((owners[n.name] for n in node.all_input_nodes if n.name in owners), "")
        owners[node.name] = path
        kind = re.sub(r"(_\d+)+$", "", node.name)
        if module is not None and type(module).__module__.startswith(
            "torch.nn"
        ):  # a layer: its last node gets its name
            names = {key: name for key, name in names.items() if name != path}
            names[node.name] = path
        elif kind not in VIEWS:
            base = f"{path}/{kind}".lstrip("/")
            counts[base] += 1
            names[node.name] = base if counts[base] == 1 else f"{base}_{counts[base]}"
    return names


def rename(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Rename the values and nodes of an ONNX graph in place; inputs, outputs and weights keep their names."""
    graph = model.graph
    kept = {value.name for value in (*graph.input, *graph.output)} | {value.name for value in graph.initializer}
    fits = {old: new for old, new in names.items() if old not in kept}
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [fits.get(name, name) for name in values]
    for value in graph.value_info:
        value.name = fits.get(value.name, value.name)
    taken: Counter[str] = Counter()
    for node in graph.node:
        name = node.output[0]
        taken[name] += 1
        node.name = name if taken[name] == 1 else f"{name}_{taken[name]}"


class NodeValueRecorder(fx.Interpreter):
    """Run a traced graph and keep the output of every named node in `values`, by readable name."""

    def __init__(self, module: fx.GraphModule, names: Mapping[str, str]) -> None:
        super().__init__(module)
        self._names = names
        self.values: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> object:
        result: object = super().run_node(n)
        if n.name in self._names and isinstance(result, Tensor) and result.is_floating_point():
            self.values[self._names[n.name]] = result
        return result


def _path(node: fx.Node) -> str:
    """Return the path of the innermost module that a node belongs to."""
    stack = node.meta.get("nn_module_stack")
    if not stack and node.target is operator.getitem and isinstance(node.args[0], fx.Node):
        return _path(node.args[0])
    return str(list(stack.values())[-1][0]) if stack else ""
