"""The documentation pages and the commented reference configuration, in the package or in a checkout."""

import re
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent
CHECKOUT = PACKAGE.parent


def pages() -> dict[str, Path]:
    """Return the pages by topic, which is the name of the file without its ending."""
    packaged = PACKAGE / "pages"
    folder = packaged if packaged.is_dir() else CHECKOUT / "docs"
    return {path.stem: path for path in sorted(folder.glob("*.md"))}


def reference_file() -> Path:
    """Return the file that shows every key of the configuration with its default."""
    packaged = PACKAGE / "pages" / "reference.toml"
    return packaged if packaged.exists() else CHECKOUT / "configs" / "reference.toml"


def sections(text: str) -> dict[str, str]:
    """Return the sections of a page by anchor, each up to the next heading of its level or above, in order.

    Of equal headings, the second one has the anchor `name-1`.
    """
    headings, equal = [], Counter[str]()
    fenced = False
    for number, line in enumerate(text.splitlines()):
        fenced ^= line.startswith("```")
        if not fenced and (found := re.match(r"(#+) (.+)", line)):
            name = anchor(found[2])
            headings.append((number, len(found[1]), f"{name}-{equal[name]}" if equal[name] else name))
            equal[name] += 1
    lines, result = text.splitlines(), dict[str, str]()
    for place, (first, level, name) in enumerate(headings):
        end = next((number for number, depth, _ in headings[place + 1 :] if depth <= level), len(lines))
        result[name] = "\n".join(lines[first:end]).rstrip() + "\n"
    return result


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives to a heading."""
    shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")


def tables(text: str) -> dict[str, str]:
    """Return the tables of the reference configuration by name, each with the comment above its header."""
    result, name = dict[str, list[str]](), ""
    waiting: list[str] = []  # comments and empty lines, which may belong to the next table
    for line in text.splitlines():
        header = re.fullmatch(r"\[\[?([\w.]+)\]\]?", line)
        if header:
            comment = "\n".join(waiting).rpartition("\n\n")[2].strip("\n")
            name, waiting = header[1], []
            result[name] = [*([comment] if comment else []), line]
        elif line.startswith("#") or not line:
            waiting.append(line)
        elif name:
            result[name] += [*waiting, line]
            waiting = []
    return {name: "\n".join(lines) + "\n" for name, lines in result.items()}
