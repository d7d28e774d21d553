"""Teaching: clips are recorded, labelled, listed and moved; a model is trained of them, tried, and taken over."""

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from edge_tdn.errors import EdgeTdnError
from edge_tdn.hub.teaching_access import RecordRequest, TaughtClip, Teaching, TrialRequest
from edge_tdn.web.answers import Refused, answer, parsed
from edge_tdn.web.archive import tar_chunks
from edge_tdn.web.bodies import FinetuneBody, LabelBody, MoveBody, PageBody, RecordBody, TakeOverBody, TrialBody
from edge_tdn.web.event_reader import EventReader
from edge_tdn.web.page_context import PageContext
from edge_tdn.web.queries import ClipsQuery, find_camera, find_place, read_query
from edge_tdn.web.recordings_files import awaited_file

MAX_CLIPS = 500  # in one answer
ACCEPTED = 202
TAR, MP4 = "application/x-tar", "video/mp4"
ATTACHMENT = {"Content-Disposition": 'attachment; filename="clips.tar"'}

Result = TypeVar("Result")


def routes(page: PageContext) -> list[Route]:
    """Return the routes of this file."""
    teach, clips = TeachPages(page), ClipPages(page)
    return [
        Route("/api/teach", teach.overview, methods=["GET"]),
        Route("/api/camera/{camera}/record", teach.record, methods=["POST"]),
        Route("/api/record/stop", teach.stop_recording, methods=["POST"]),
        Route("/api/finetune", teach.finetune, methods=["POST"]),
        Route("/api/finetune/stop", teach.stop_finetune, methods=["POST"]),
        Route("/api/trial", teach.try_model, methods=["POST"]),
        Route("/api/trial/stop", teach.stop_trial, methods=["POST"]),
        Route("/api/takeover", teach.take_over, methods=["POST"]),
        Route("/api/teach/clips", clips.clips, methods=["GET"]),
        Route("/api/teach/archive", clips.archive, methods=["GET"]),
        Route("/api/clip/{label}/{name}", clips.clip, methods=["GET"]),
        Route("/api/clip/{label}/{name}/move", clips.move, methods=["POST"]),
        Route("/api/camera/{camera}/label", clips.label, methods=["POST"]),
    ]


class TeachPages:
    """The handlers of what runs for a while: a recording, a training, a trial. Belongs to the page's thread."""

    def __init__(self, page: PageContext) -> None:
        self._hub, self._do = page.hub, _Worker(page)

    async def overview(self, request: Request) -> Response:
        """Return all that the view shows."""
        return answer(await self._do(lambda teaching: teaching.overview()))

    async def record(self, request: Request) -> Response:
        """Begin to record clips."""
        body = parsed(RecordBody, await request.body())
        camera, zone = find_place(self._hub, request.path_params["camera"], body.zone)
        wish = RecordRequest(
            camera=camera.name,
            zone=zone.name,
            label=body.label,
            count=body.count,
            seconds=body.seconds,
            pause=body.pause,
        )
        return answer(await self._do(lambda teaching: teaching.record(wish)), ACCEPTED)

    async def stop_recording(self, request: Request) -> Response:
        """Stop recording."""
        parsed(PageBody, await request.body())
        return answer(await self._do(lambda teaching: teaching.stop_recording()), ACCEPTED)

    async def finetune(self, request: Request) -> Response:
        """Begin to train."""
        body = parsed(FinetuneBody, await request.body())
        return answer(await self._do(lambda teaching: teaching.finetune(body.id)), ACCEPTED)

    async def stop_finetune(self, request: Request) -> Response:
        """Stop the training."""
        parsed(PageBody, await request.body())
        return answer(await self._do(lambda teaching: teaching.stop_finetune()), ACCEPTED)

    async def try_model(self, request: Request) -> Response:
        """Begin to try a model."""
        body = parsed(TrialBody, await request.body())
        camera, zone = find_place(self._hub, body.camera, body.zone)
        wish = TrialRequest(model=body.model, camera=camera.name, zone=zone.name)
        return answer(await self._do(lambda teaching: teaching.try_model(wish)), ACCEPTED)

    async def stop_trial(self, request: Request) -> Response:
        """End the trial."""
        parsed(PageBody, await request.body())
        return answer(await self._do(lambda teaching: teaching.stop_trial()), ACCEPTED)

    async def take_over(self, request: Request) -> Response:
        """Serve a model from now on."""
        body = parsed(TakeOverBody, await request.body())
        return answer(await self._do(lambda teaching: teaching.take_over(body.model)))


class ClipPages:
    """The handlers of the clips. Belongs to the page's thread."""

    def __init__(self, page: PageContext) -> None:
        self._hub, self._do = page.hub, _Worker(page)
        self._reader = EventReader(page)
        self._is_archiving = False  # an archive is being sent

    async def clips(self, request: Request) -> Response:
        """Return the newest clips, of one class or of all."""
        query = read_query(ClipsQuery, request.query_params)
        found = await self._do(lambda teaching: _clips(teaching, query.label))
        return answer({"clips": [clip.model_dump(mode="json") for clip in found]})

    async def clip(self, request: Request) -> Response:
        """Return a clip, or a part of it."""
        label, name = request.path_params["label"], request.path_params["name"]
        path, status = await self._do(lambda teaching: _regular_file(teaching.clip_file(label, name)))
        return FileResponse(path, media_type=MP4, stat_result=status)

    async def move(self, request: Request) -> Response:
        """Put a clip into another class, or discard it."""
        label, name = request.path_params["label"], request.path_params["name"]
        body = parsed(MoveBody, await request.body())
        await self._do(lambda teaching: teaching.move(label, name, body.label))
        return answer({})

    async def label(self, request: Request) -> Response:
        """Put an action that was recognised into a class. Its clip is waited for if it is just being written."""
        body = parsed(LabelBody, await request.body())
        camera = find_camera(self._hub, request.path_params["camera"])
        event = await self._reader.one(camera.name, body.seq)
        if event is None:
            raise Refused(404, "this event is no longer kept")
        if event.type != "end":
            raise Refused(409, "this action has not ended yet; label it after its end")
        folder, name = self._hub.host.recordings(), (event.clip or "").partition("/")[2]
        await awaited_file(folder, {camera.name}, camera.name, name)
        return answer(await self._do(lambda teaching: teaching.label_event(event, body.label)))

    async def archive(self, request: Request) -> Response:
        """Return all clips as a tar archive; one at a time, since it reads the whole folder."""
        if self._is_archiving:
            raise Refused(503, "another archive is being sent; try again later", Retry_After="10")
        folder = await self._do(_filled_folder)
        if request.method == "HEAD":
            return Response(headers=ATTACHMENT, media_type=TAR)
        self._is_archiving = True
        return _Archive(folder, self._archived)

    def _archived(self) -> None:
        self._is_archiving = False


class _Worker:
    """Runs what teaching does on its own threads. Refused: 409, it cannot be done now; 503, the disk refuses."""

    def __init__(self, page: PageContext) -> None:
        self._hub, self._threads = page.hub, page.teaching

    async def __call__(self, job: Callable[[Teaching], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, job)
        except EdgeTdnError as error:
            raise Refused(409, str(error)) from error
        except FileNotFoundError:  # deleted meanwhile: the Gate answers 404
            raise
        except OSError as error:
            raise Refused(503, f"the folder of clips and models: {error.strerror or error}") from error

    def _run(self, job: Callable[[Teaching], Result]) -> Result:
        teaching = self._hub.teaching()
        if teaching is None:
            raise Refused(409, "this daemon does not teach")
        return job(teaching)


class _Archive(StreamingResponse):
    """The answer with an archive, whose file is closed as soon as the client is gone."""

    def __init__(self, folder: Path, ended: Callable[[], None]) -> None:
        """`ended` is called once, at the end."""
        self._pieces, self._ended = _pieces(folder), ended
        super().__init__(self._pieces, headers=ATTACHMENT, media_type=TAR)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with aclosing(self._pieces):
                await super().__call__(scope, receive, send)
        finally:
            self._ended()


async def _pieces(folder: Path) -> AsyncGenerator[bytes]:
    """Yield an archive, read on another thread."""
    async for piece in iterate_in_threadpool(tar_chunks(folder)):
        yield piece


def _clips(teaching: Teaching, label: str | None) -> Sequence[TaughtClip]:
    return teaching.clips(label)[:MAX_CLIPS]


def _regular_file(path: Path | None) -> tuple[Path, os.stat_result]:
    """Return a clip's file as it is now. Refused: 404, there is none such."""
    if path is not None:
        status = path.lstat()
        if stat.S_ISREG(status.st_mode):
            return path, status
    raise Refused(404, "this clip is not there; it has been moved or discarded")


def _filled_folder(teaching: Teaching) -> Path:
    """Return the folder of the clips. Refused: 409, it has none."""
    folder = teaching.folder()
    if not folder.is_dir() or not any(folder.glob("[!.]*/[!.]*")):
        raise Refused(409, "record clips first: there is nothing to carry elsewhere yet")
    return folder
