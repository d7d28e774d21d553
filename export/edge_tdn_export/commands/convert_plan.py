"""The plan of a conversion: the network and the recipe that options, weights and the files beside them give."""

import argparse
from collections.abc import Callable
from typing import NamedTuple

from edge_tdn_export.commands.network_options import input_spec, network_options
from edge_tdn_export.convert.convert import Recipe
from edge_tdn_export.convert.precisions import PRECISIONS
from edge_tdn_export.lists.labels import read_labels
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.source import find_source
from edge_tdn_export.network.tdn import TDN


class ConversionPlan(NamedTuple):
    """What `convert` turns into a model folder."""

    network: TDN
    recipe: Recipe


def make_plan(options: argparse.Namespace, note: Callable[[str], None]) -> ConversionPlan:
    """Read checkpoint and labels. EdgeTdnError: checkpoint, labels or options are wrong.

    `note` is called with what was recognised in the files, and with what was assumed.
    """
    source = find_source(options.checkpoint)
    network = checkpoint.load(source.weights, note=note, **network_options(options))
    labels = read_labels(options.labels or source.labels_for(network.config.classes))
    note(labels.note)
    background = options.background
    if background is None:
        background = source.background_of(labels.labels)
        note(f"background, which never starts an action: {', '.join(background) or 'none'} (see --background)")
    recipe = Recipe(
        id=options.id or options.out.name,
        labels=labels.path,
        input=input_spec(options, network.config, source.input, note),
        background=tuple(background),
        source=(("file", source.weights.name), ("sha256", checkpoint.sha256(source.weights))),
        precisions=tuple(name for name in PRECISIONS if name in options.precisions),
    )
    return ConversionPlan(network, recipe)
