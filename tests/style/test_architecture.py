"""The import contracts and docs/architecture.md are exhaustive: a new file that belongs nowhere fails `make check`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.style.rules import PACKAGES, ROOT
from tests.support.waiting import PROGRAM_S

pytestmark = pytest.mark.style


def documented(page: str) -> set[str]:
    """Return the Python files that docs/architecture.md names, as paths from the project's root.

    In its code blocks a line `folder/   description` is followed by indented lines with the names of its files.
    """
    found: set[str] = set()
    for block in re.findall(r"^```\w*\n(.*?)^```", page, re.S | re.M):
        folder = ""
        for line in block.splitlines():
            if match := re.match(r"(\S+/)(\s|$)", line):
                folder = match.group(1)
            elif folder and line.startswith("    "):
                found |= {f"{folder}{name}.py" for name in line.split()}
    return found


def test_the_page_names_every_file_and_no_other() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    files = {
        str(path.relative_to(ROOT))
        for folder in PACKAGES.values()
        for path in folder.rglob("*.py")
        if path.name != "__init__.py"
    }
    assert len(files) > 150
    assert documented(page) == files


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    for name in ("edge_tdn", "export", "training"):
        ignored = shutil.ignore_patterns("models", "__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.mark.parametrize("package", PACKAGES)
def test_a_stray_module_breaks_the_contracts(package: str, copy: Path) -> None:
    """A module beside the packages, and without a layer, is reported by name."""
    stray = copy / PACKAGES[package].relative_to(ROOT) / "stray.py"
    stray.write_text('"""A module without a layer."""\n')
    try:
        program = (
            f"import sys; sys.path[:0] = [{str(copy)!r}, {str(copy / 'export')!r}, {str(copy / 'training')!r}];"
            "from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=copy, capture_output=True, text=True, timeout=PROGRAM_S
        )
    finally:
        stray.unlink()
    assert done.returncode == 1, done.stdout + done.stderr
    assert "stray" in done.stdout
