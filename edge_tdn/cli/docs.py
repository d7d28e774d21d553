"""`edge-tdn docs`: print a page of the documentation."""

import argparse
import logging
import re
import sys

from edge_tdn.cli.options import Commands, add_command
from edge_tdn.errors import ConfigError
from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.documents import pages, sections
from edge_tdn.spelling import nearest_of_many

HELP = CommandHelp(
    description="""\
Print a page of the documentation, or one section of it; without a topic, list the pages. They come with the program,
so that they describe the version that is installed, and need no network. In a terminal the page is laid out for it; in
a pipe it is Markdown.

Error messages name a page where there is more to say than fits into a line.
""",
    examples=(
        Example("list the pages", "edge-tdn docs"),
        Example("look a message up", "edge-tdn docs troubleshooting"),
        Example("print one section", "edge-tdn docs troubleshooting#broker"),
    ),
    exit_status={0: "printed", 78: "there is no such page or section"},
)
MAX_WIDTH = 100  # characters; longer lines are hard to read
INTERNAL_LINK = re.compile(r"\[([^\]]+)\]\((?:([\w-]+)\.md)?(#[\w-]+)?\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\([^)]+\)")


def add_parser(commands: Commands) -> None:
    summary = "print a page of the documentation"
    parser = add_command(commands, "docs", run, logging.ERROR, summary, HELP)
    parser.add_argument("topic", nargs="?", metavar="TOPIC[#SECTION]", help="a page, and a heading in it")


def run(options: argparse.Namespace) -> int:
    """Print. Raises ConfigError if there is no such page or section."""
    if options.topic is None:
        _print_list()
        return 0
    topic, text = chosen(options.topic)
    if sys.stdout.isatty():
        _print_laid_out(topic, text)
    else:
        sys.stdout.write(text)
    return 0


def chosen(name: str) -> tuple[str, str]:
    """Return the topic of `TOPIC[#SECTION]` and the text. Raises ConfigError."""
    topic, _, section = name.partition("#")
    topic = topic.removesuffix(".md").removeprefix("docs/")
    known = pages()
    if topic not in known:
        raise ConfigError(f"no page {topic!r}; {nearest_of_many(topic, list(known), 'there are')}")
    text = known[topic].read_text(encoding="utf-8")
    if not section:
        return topic, text
    found = sections(text)
    if section not in found:
        raise ConfigError(f"no section {section!r} in {topic}; {nearest_of_many(section, list(found), 'there are')}")
    return topic, found[section]


def _print_list() -> None:
    known = pages()
    width = max(map(len, known))
    for topic, path in known.items():
        title = path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
        sys.stdout.write(f"{topic:<{width}}  {title}\n")
    sys.stdout.write("\nedge-tdn docs TOPIC prints one; edge-tdn reference prints every key of the configuration.\n")


def _print_laid_out(topic: str, text: str) -> None:
    from rich.markdown import Markdown

    from edge_tdn.cli.console import plain_console

    console = plain_console()
    text = PICTURE.sub(r"(picture: \1)", text)
    text = INTERNAL_LINK.sub(lambda link: f"{link[1]} (`edge-tdn docs {link[2] or topic}{link[3] or ''}`)", text)
    console.print(Markdown(text, hyperlinks=False), width=min(console.width, MAX_WIDTH))
