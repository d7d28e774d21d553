"""What somebody may have meant who wrote a name that nobody knows."""

import difflib
from collections.abc import Collection, Sequence

LISTED = 20  # names, at most, where there may be hundreds


def nearest(name: str, known: Collection[str], otherwise: str = "allowed") -> str:
    """`did you mean 'b'?`, or, where none is near, all that there are: `allowed: a, b`."""
    return hint(name, known) or f"{otherwise}: {', '.join(known)}"


def nearest_of_many(name: str, known: Sequence[str], before: str = "allowed") -> str:
    """`did you mean 'b'? allowed: a, b and 3 more`: the first part where one is near, the second always."""
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    return f"{hint(name, known)} {before}: {', '.join(known[:LISTED])}{more}".lstrip()


def hint(name: str, known: Collection[str]) -> str:
    """`did you mean 'b'?`, or nothing where none is near."""
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else ""
