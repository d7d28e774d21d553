"""Labels of data and of models, which must know each other."""

import difflib
from collections.abc import Iterable, Sequence

from edge_tdn.errors import ConfigError

LISTED = 20  # names in an error, at most


def check_known(where: str, wanted: Iterable[str], known: Sequence[str]) -> None:
    """ConfigError: which of the labels in `where` are not among those that the model tells; all of them."""
    unknown = [label for label in dict.fromkeys(wanted) if label not in known]
    if not unknown:
        return
    named = ", ".join(map(repr, unknown))
    near = difflib.get_close_matches(unknown[0], known, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    raise ConfigError(
        f"{where}: {len(unknown)} label(s) that the model does not know: {named}; {hint}it knows: "
        f"{', '.join(known[:LISTED])}{more}"
    )
