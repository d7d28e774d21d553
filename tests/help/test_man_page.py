"""The manual pages: groff formats them without a warning, and everything that `--help` explains is in them."""

import re
import shutil
import subprocess

import pytest

from edge_tdn.help.man_page import man_page
from edge_tdn.help.parser import Parser, arguments_of, command_parsers
from tests.support.programs import PROGRAMS
from tests.support.waiting import PROGRAM_S

PLAIN = {"GROFF_NO_SGR": "1", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}


@pytest.fixture(scope="module", params=PROGRAMS)
def shown(request: pytest.FixtureRequest) -> tuple[Parser, str]:
    """Return a program, and its page as `man` shows it on a wide terminal."""
    if not shutil.which("groff"):
        pytest.skip("groff is not installed")
    program = PROGRAMS[request.param]
    command = ["groff", "-man", "-Tutf8", "-ww", "-rLL=400n", "-rHY=0", "-P-cbou"]
    page = man_page(program)
    done = subprocess.run(command, input=page.encode(), capture_output=True, env=PLAIN, timeout=PROGRAM_S, check=True)
    assert done.stderr == b""
    return program, done.stdout.decode()


def test_the_page_has_the_usual_sections(shown: tuple[Parser, str]) -> None:
    program, text = shown
    sections = re.findall(r"^([A-Z][A-Z ]+)$", text, re.M)
    usual = ["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "EXAMPLES", "EXIT STATUS", "FILES", "SEE ALSO"]
    assert sections == [title for title in usual if title != "FILES" or program.prog == "edge-tdn"]
    assert re.search(rf"^NAME\n +{program.prog} - [a-z]", text, re.M)
    assert re.search(r"^SEE ALSO\n +edge-tdn", text, re.M)


def test_every_command_with_its_options_examples_and_statuses_is_in_the_page(shown: tuple[Parser, str]) -> None:
    program, text = shown[0], " ".join(shown[1].split())
    assert len(command_parsers(program)) >= 8
    for name, command in command_parsers(program).items():
        assert f"{program.prog} {name} - " in text
        help_ = command.command_help
        assert help_
        for example in help_.examples:
            assert " ".join(example.line.split()) in text
        for status, meaning in help_.statuses.items():
            assert f"{status} {meaning}" in text
        for argument in arguments_of(command):
            for option in argument.option_strings:
                assert option in text, (name, option)


@pytest.mark.skipif(not shutil.which("mandoc"), reason="mandoc is not installed")
@pytest.mark.parametrize("program", PROGRAMS)
def test_mandoc_finds_nothing_but_the_missing_date(program: str) -> None:
    """The page has no date, so that a build can be repeated."""
    page = man_page(PROGRAMS[program]).encode()
    done = subprocess.run(["mandoc", "-Tlint", "-W", "warning"], input=page, capture_output=True, timeout=PROGRAM_S)
    lines = done.stdout.decode().splitlines()
    assert [line for line in lines if "missing date" not in line] == []
