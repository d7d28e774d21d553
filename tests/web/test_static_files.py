"""The files of the page, as they are sent."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_tdn.web.static_files import FOLDER, TYPES, static_files
from tests.support.page_server import PageServer, page_server

MAX_BYTES = 400_000  # of all files, as they are and packed; in memory from the first look on
SCRIPT = "js/main.js"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    with page_server(tmp_path_factory.mktemp("page")) as running:
        yield running


def test_every_file_is_sent_with_its_type(page: PageServer) -> None:
    for name, file in static_files().items():
        answer = page.ask(f"/static/{name}", session=False)
        assert (answer.status, answer.body) == (200, (FOLDER / name).read_bytes())
        assert answer.headers["content-type"] == TYPES[Path(name).suffix]
        assert answer.headers["etag"] == file.etag
        assert answer.headers["cache-control"] == "no-cache"
    assert sum(len(file.content) + len(file.packed) for file in static_files().values()) < MAX_BYTES


@pytest.mark.parametrize(
    "target", ["/static/", "/static/js", "/static/js/", "/static/__init__.py", "/static/vendor/README.md"]
)
def test_nothing_else_is_sent(page: PageServer, target: str) -> None:
    assert page.ask(target, session=False).status == 404


def test_a_browser_that_has_a_file_is_not_sent_it_again(page: PageServer) -> None:
    etag = static_files()[SCRIPT].etag
    for known in (etag, f'"other", {etag}'):
        answer = page.ask(f"/static/{SCRIPT}", session=False, If_None_Match=known)
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
        assert "content-security-policy" in answer.headers
    assert page.ask(f"/static/{SCRIPT}", session=False, If_None_Match='"other"').status == 200


def test_a_file_is_sent_packed_to_who_accepts_it(page: PageServer) -> None:
    answer = page.ask(f"/static/{SCRIPT}", session=False, Accept_Encoding="br, gzip;q=0.8")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(answer.body) == (FOLDER / SCRIPT).read_bytes()
    assert "content-encoding" not in page.ask(f"/static/{SCRIPT}", session=False, Accept_Encoding="br").headers


def test_the_shell_changes_with_any_file(tmp_path: Path) -> None:
    """A page that was loaded before an update finds out by the ETag of the shell."""
    etags = {}
    for folder, text in ((tmp_path / "old", "old"), (tmp_path / "new", "new")):
        folder.mkdir()
        (folder / "index.html").write_text("the same")
        (folder / "same.js").write_text("the same")
        (folder / "main.js").write_text(text)
        etags[text] = {name: file.etag for name, file in static_files(folder).items()}
    changed = {name for name, etag in etags["old"].items() if etag != etags["new"][name]}
    assert changed == {"index.html", "main.js"}


def test_a_head_has_the_length_alone(page: PageServer) -> None:
    answer = page.ask("/", "HEAD", session=False)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == str(len((FOLDER / "index.html").read_bytes()))
