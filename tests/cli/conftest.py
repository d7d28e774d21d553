"""Fixtures of the command line's tests."""

import subprocess
from pathlib import Path

import pytest

from edge_tdn.__main__ import main
from tests.support.command_line import Run


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process, for commands that leave signals alone. The fixture `edge_tdn` starts one."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        status = main([*map(str, arguments)])
        output = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, output.out, output.err)

    return run
