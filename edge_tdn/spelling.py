"""Spelling suggestions for unknown names."""

import difflib
from collections.abc import Collection, Sequence

MAX_LISTED = 20  # names of which there may be hundreds


def nearest(name: str, known: Collection[str], otherwise: str = "allowed") -> str:
    """Return `did you mean 'b'?`, or, if no known name is similar, all of them: `allowed: a, b`."""
    return hint(name, known) or f"{otherwise}: {', '.join(known)}"


def nearest_of_many(name: str, known: Sequence[str], before: str = "allowed") -> str:
    """Return `did you mean 'b'? allowed: a, b and 3 more`; the question only if a known name is similar."""
    more = f" and {len(known) - MAX_LISTED} more" if len(known) > MAX_LISTED else ""
    return f"{hint(name, known)} {before}: {', '.join(known[:MAX_LISTED])}{more}".lstrip()


def hint(name: str, known: Collection[str]) -> str:
    """Return `did you mean 'b'?`, or an empty string if no known name is similar. Capitals make no difference."""
    near = closest(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else ""


def closest(name: str, known: Collection[str], count: int, similarity: float = 0.6) -> list[str]:
    """Return at most `count` known names, the most similar first. `similarity`: of 1, that a name must have."""
    by_case = {one.casefold(): one for one in known}
    return [by_case[one] for one in difflib.get_close_matches(name.casefold(), by_case, count, similarity)]
