"""`make bench` in short: rows become a table and a plot, another tool's command line is measured beside ours."""

import sys
from io import StringIO
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from edge_tdn.manifest import Model
from tests.bench.__main__ import plot, table
from tests.bench.beside import HOPS, beside
from tests.bench.row import Row


def test_another_tool_is_measured_beside_ours(motion: Model, tmp_path: Path) -> None:
    row = beside(motion.folder, "fp32", f"{sys.executable} -c pass", repetitions=1)
    ours, theirs = row.samples["ours, s"], row.samples["theirs, s"]
    assert row.figure == pytest.approx(ours[0] / theirs[0])
    assert row.figure > 1  # Python that does nothing ends sooner
    assert not row.reached
    reached = Row("a hop", "PyTorch", 0.1234, "ratio", 0.5)
    text = StringIO()
    Console(file=text, width=200).print(table([row, reached]))
    assert f"{HOPS} hops, fp32, a whole process" in text.getvalue()
    assert "0.123" in text.getvalue()
    plot([row, reached], tmp_path / "bench.png")
    with Image.open(tmp_path / "bench.png") as image:
        assert image.width > 1000


@pytest.mark.parametrize(
    ("command", "message"), [("no-such-tool -x", "no-such-tool -x: No such file"), ("false", "false: exit status 1")]
)
def test_a_tool_that_fails_ends_it_with_one_line(command: str, message: str, motion: Model) -> None:
    with pytest.raises(SystemExit, match=message):
        beside(motion.folder, "fp32", command, repetitions=1)
