"""A compiled network, and the input that it takes."""

from dataclasses import dataclass

from edge_tdn.inference.runtime import Runtime
from edge_tdn.manifest import InputSpec


@dataclass(frozen=True, eq=False)
class Engine:
    """A runtime, and the input of its model. Lanes of the same engine are computed together."""

    runtime: Runtime
    spec: InputSpec
