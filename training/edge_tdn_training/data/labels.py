"""The check that a data set uses no label which the model does not know."""

from collections.abc import Iterable, Sequence

from edge_tdn.errors import ConfigError
from edge_tdn.spelling import nearest_of_many


def check_known(where: str, labels: Iterable[str], known: Sequence[str]) -> None:
    """ConfigError: labels found in `where` are not among those of the model; the error names all of them."""
    unknown = [label for label in dict.fromkeys(labels) if label not in known]
    if not unknown:
        return
    named = ", ".join(map(repr, unknown))
    suggestion = nearest_of_many(unknown[0], known, "it knows")
    raise ConfigError(f"{where}: {len(unknown)} label(s) that the model does not know: {named}; {suggestion}")
