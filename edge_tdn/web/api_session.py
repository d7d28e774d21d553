"""Log in, log out, and let another device in."""

import logging
import time
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_tdn.process.log import RateLimitedLog
from edge_tdn.web.access import CODE_S, SESSION_S
from edge_tdn.web.answers import Refused, answer, parsed
from edge_tdn.web.hosts import own_origin
from edge_tdn.web.page_context import PageContext
from edge_tdn.web.session_cookie import cookie_name

log = logging.getLogger(__name__)

LOG_EVERY_S, LOG_BURST = 60.0, 5


class LoginRequest(BaseModel):
    """The body of POST /api/session: one of both."""

    model_config = ConfigDict(extra="forbid", strict=True)
    token: str = Field(default="", max_length=200)
    code: str = Field(default="", max_length=64)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if bool(self.token) == bool(self.code):
            raise ValueError("either token or code is needed")
        return self


class EmptyRequest(BaseModel):
    """The body of a POST that says nothing: {}."""

    model_config = ConfigDict(extra="forbid")


def routes(page: PageContext) -> list[Route]:
    """Return the routes of sessions."""
    web, attempts = page.config.web, RateLimitedLog(log, LOG_EVERY_S, LOG_BURST)

    def cookie(value: str, max_age_s: int, origin: str) -> str:
        secure = "; Secure" if origin.startswith("https:") else ""
        name = cookie_name(web)
        return f"{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}"

    async def log_in(request: Request) -> Response:
        given = parsed(LoginRequest, await request.body())
        peer = request.client.host if request.client else ""
        if given.code and not page.access.codes.redeem(given.code):
            raise Refused(401, f"this link has been used, or is older than {CODE_S // 60} minutes")
        if given.token:
            outcome = page.access.log_in(given.token)
            if outcome != "right":
                attempts.log(logging.WARNING, "page: a wrong token from %s", peer)
            if outcome == "later":
                seconds = f"{page.limits.logins_s:.0f}"
                raise Refused(429, f"too many wrong tokens; try again in {seconds} s", Retry_After=seconds)
            if outcome == "wrong":
                raise Refused(401, "the token is wrong")
        log.info("page: a login from %s", peer)
        value = page.access.sessions.cookie(time.time())
        return Response(None, 204, {"Set-Cookie": cookie(value, SESSION_S, own_origin(web, request.headers))})

    async def log_out(request: Request) -> Response:
        parsed(EmptyRequest, await request.body())
        return Response(None, 204, {"Set-Cookie": cookie("", 0, own_origin(web, request.headers))})

    async def invite(request: Request) -> Response:
        parsed(EmptyRequest, await request.body())
        code = page.access.codes.new()
        address = f"{own_origin(web, request.headers)}/#code={code}"
        return answer({"code": code, "address": address, "seconds": CODE_S})

    return [
        Route("/api/session", log_in, methods=["POST"]),
        Route("/api/session/end", log_out, methods=["POST"]),
        Route("/api/session/code", invite, methods=["POST"]),
    ]
