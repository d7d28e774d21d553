"""`edge-tdn docs` and `edge-tdn reference`: pages for a terminal and for a pipe, and the nearest spelling."""

import os
import pty
import re
import subprocess
import sys

import pytest

from edge_tdn.help.documents import pages, reference_file, sections, tables
from tests.support.command_line import Run, assert_refused
from tests.support.waiting import PROGRAM_S


def test_without_a_topic_every_page_is_listed_with_its_title(edge_tdn: Run) -> None:
    listed = edge_tdn("docs").stdout
    for topic, path in pages().items():
        title = path.read_text().splitlines()[0].removeprefix("# ")
        assert any(line.split(maxsplit=1) == [topic, title] for line in listed.splitlines()), topic


def test_a_page_in_a_pipe_is_its_markdown(edge_tdn: Run) -> None:
    assert edge_tdn("docs", "troubleshooting").stdout == pages()["troubleshooting"].read_text()
    assert edge_tdn("docs", "docs/models.md").stdout == pages()["models"].read_text()


def test_a_section_ends_where_the_next_begins(edge_tdn: Run) -> None:
    expected = sections(pages()["architecture"].read_text())["threads"]
    assert edge_tdn("docs", "architecture#threads").stdout == expected


def test_a_page_in_a_terminal_is_laid_out_and_names_commands_instead_of_files() -> None:
    """A real terminal of 80 columns. Links of pages are files, which an installed program does not have."""
    reader, terminal = pty.openpty()
    program = [sys.executable, "-m", "edge_tdn", "docs", "events"]
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    with subprocess.Popen(program, stdout=terminal, stderr=terminal, env=environment) as process:
        os.close(terminal)
        shown = b""
        try:
            while part := os.read(reader, 65536):
                shown += part
        except OSError:  # the program has closed the terminal
            pass
        assert process.wait(PROGRAM_S) == 0
    os.close(reader)
    text = shown.decode()
    assert "```" not in text
    assert "\x1b[" in text
    assert ".md)" not in text
    assert "edge-tdn docs bridge" in " ".join(re.sub(r"\x1b\[[\d;]*m", "", text).split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("docs", "trubleshooting"), "no page 'trubleshooting'; did you mean 'troubleshooting'? there are: "),
        (("docs", "architecture#thread"), "no section 'thread' in architecture; did you mean 'threads'?"),
        (("reference", "decied"), "no table 'decied'; did you mean 'decide'? there are: "),
    ],
)
def test_a_misspelt_page_section_or_table_gets_the_nearest(
    arguments: tuple[str, ...], message: str, edge_tdn: Run
) -> None:
    assert_refused(edge_tdn(*arguments), 78, message)


def test_the_reference_is_printed_whole_or_by_table(edge_tdn: Run) -> None:
    text = reference_file().read_text()
    assert edge_tdn("reference").stdout == text
    assert edge_tdn("reference", "decide").stdout == edge_tdn("reference", "[decide]").stdout == tables(text)["decide"]
    assert "enter_threshold = " in tables(text)["decide"]
