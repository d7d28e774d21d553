"""Lines for the configuration, to be copied by hand: the page never writes it. Pure."""

import json
from collections.abc import Sequence

from pydantic import ValidationError

from edge_tdn.config.checks import Point, Region
from edge_tdn.config.fault import ConfigFile
from edge_tdn.config.zone_tables import ZoneConfig

PLACES = 3  # of the shares of a zone: a thousandth of the picture


def thresholds_toml(
    zone: str | None,
    label: str | None,
    enter: float,
    exit: float,  # noqa: A002  (as in TOML)
) -> str:
    """Return the table with these thresholds: of an action; else of a zone; else of all.

    A comment says where it belongs, since it is only a part of the file.
    """
    if label is not None:
        head = [
            "# holds wherever the model has this label; if the action has a table already, change it there",
            "[[decide.action]]",
            f"name = {_text(label)}",
        ]
    elif zone is not None:
        head = [f"# below the [[camera.zone]] with name = {_text(zone)}", "[camera.zone.decide]"]
    else:
        head = ["# holds for all cameras; a file has one [decide]", "[decide]"]
    return "\n".join([*head, f"enter_threshold = {round(enter, 4)}", f"exit_threshold = {round(exit, 4)}", ""])


def model_toml(model: str) -> str:
    """Return the table that names a model for all cameras. `model`: path of its folder."""
    return "\n".join(
        [
            "# holds for all cameras; a file has one [runtime]. For one zone: the same line below its [[camera.zone]]",
            "[runtime]",
            f"model = {_text(model)}",
            "",
        ]
    )


def zone_toml(name: str, region: Region | None = None, polygon: Sequence[Point] = ()) -> str:
    """Return the table of a zone with a region or a polygon, in shares of the picture, rounded to thousandths.

    ValueError: a zone cannot be like that; its text is that of `edge-tdn check`.
    """
    table: dict[str, object] = {"name": name}
    if region is not None:
        table["region"] = _rounded(region)
    if polygon:
        table["polygon"] = [[round(x, PLACES), round(y, PLACES)] for x, y in polygon]
    try:
        ZoneConfig.model_validate(table)
    except ValidationError as error:
        faults = (ConfigFile("zone").rejected(dict(fault)) for fault in error.errors())
        raise ValueError("\n".join(faults)) from error
    lines = ["# below its [[camera]]", "[[camera.zone]]", f"name = {_text(name)}"]
    return "\n".join([*lines, *(f"{key} = {table[key]}" for key in ("region", "polygon") if key in table), ""])


def _rounded(region: Region) -> list[float]:
    """Return a region whose edges are rounded, so that it reaches no further than before."""
    left, top, right, bottom = (
        round(edge, PLACES) for edge in (*region[:2], region[0] + region[2], region[1] + region[3])
    )
    return [left, top, round(right - left, PLACES), round(bottom - top, PLACES)]


def _text(text: str) -> str:
    """Return a string of TOML."""
    return json.dumps(text, ensure_ascii=False)
