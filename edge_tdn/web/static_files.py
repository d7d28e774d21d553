"""The files of the page, read into memory at its first request."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_tdn.web.answers import Refused, shown
from edge_tdn.web.page_context import PageContext

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
SHELL, ICON = "index.html", "favicon.svg"


@dataclass(frozen=True)
class StaticFile:
    """A file as it is sent."""

    content: bytes
    packed: bytes  # by gzip
    media_type: str
    etag: str

    def answer(self, request: Request) -> Response:
        """Return the answer: the file, or 304 if the browser has it."""
        headers = {"ETag": self.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        known = [one.strip() for one in request.headers.get("if-none-match", "").split(",")]
        if self.etag in known:
            return Response(None, 304, headers)
        accepted = [one.partition(";")[0].strip() for one in request.headers.get("accept-encoding", "").split(",")]
        is_packed = "gzip" in accepted and len(self.packed) < len(self.content)
        if is_packed:
            headers["Content-Encoding"] = "gzip"
        return Response(self.packed if is_packed else self.content, 200, headers, self.media_type)


@cache
def static_files(folder: Path = FOLDER) -> dict[str, StaticFile]:
    """Return the files by their path below the folder. The ETag of the shell changes with any of them."""
    contents = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in TYPES and path.is_file()
    }
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    digests[SHELL] = hashlib.sha256("".join(digests.values()).encode()).hexdigest()
    return {
        name: StaticFile(
            content,
            gzip.compress(content, 9, mtime=0),
            TYPES[Path(name).suffix],
            f'W/"{digests[name][:32]}"',
        )
        for name, content in contents.items()
    }


def routes(page: PageContext) -> list[Route]:
    """Return the routes of the shell and its files, which show nothing of this host."""

    def sent(request: Request, name: str) -> Response:
        file = static_files().get(name)
        if file is None:
            raise Refused(404, f"{shown(name)} is not a file of the page")
        return file.answer(request)

    async def shell(request: Request) -> Response:
        return sent(request, SHELL)

    async def icon(request: Request) -> Response:
        return sent(request, ICON)

    async def part(request: Request) -> Response:
        return sent(request, request.path_params["name"])

    return [Route("/", shell), Route("/favicon.svg", icon), Route("/static/{name:path}", part)]
