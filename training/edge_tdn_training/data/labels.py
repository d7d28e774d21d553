"""Labels of data and of models, which must know each other."""

from collections.abc import Iterable, Sequence

from edge_tdn.errors import ConfigError
from edge_tdn.spelling import nearest_of_many


def check_known(where: str, wanted: Iterable[str], known: Sequence[str]) -> None:
    """ConfigError: which of the labels in `where` are not among those that the model tells; all of them."""
    unknown = [label for label in dict.fromkeys(wanted) if label not in known]
    if not unknown:
        return
    named = ", ".join(map(repr, unknown))
    meant = nearest_of_many(unknown[0], known, "it knows")
    raise ConfigError(f"{where}: {len(unknown)} label(s) that the model does not know: {named}; {meant}")
