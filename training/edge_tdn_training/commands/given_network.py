"""The network and the input that the options describe, for weights without a description."""

import argparse
import json
from dataclasses import fields
from typing import Any

from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.input_spec import stated_or_published

from edge_tdn.errors import ConfigError
from edge_tdn.manifest import InputSpec
from edge_tdn_training.loop.initial_weights import InitialWeights


def network_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the given options of TDNConfig, and `entry`. ConfigError: --network names an unknown one."""
    names = ("entry", "arch", "segments", "width")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    for pair in options.network:
        name, _, text = pair.partition("=")
        if name not in {field.name for field in fields(TDNConfig)} - {"classes"}:
            raise ConfigError(f"--network {pair!r}: not an option of the network; see edge-tdn-export convert --help")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        given[name] = tuple(value) if isinstance(value, list) else value
    return given


def input_spec(options: argparse.Namespace, initial: InitialWeights) -> tuple[InputSpec, list[str]]:
    """Return the input of the initial weights: as given, as they state it or as published; and notes on the last.

    ConfigError: the options are invalid.
    """
    notes: list[str] = []
    given = {name: getattr(options, name) for name in ("size", "resize", "frame_rate")}
    return stated_or_published(initial.original, initial.spec, given, notes.append), notes
