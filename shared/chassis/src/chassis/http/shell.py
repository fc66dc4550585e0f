"""The HTTP shell of a service: health, metrics, and errors of one shape; the routes come from its api.py."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from http import HTTPStatus
from typing import Any

from anyio import CancelScope
from contracts.message import Reason
from contracts.reasons import Unreadable, reasons_from
from contracts.strict_json import MOST_OPEN_BODY_BYTES, TOO_LARGE, refuse_ambiguous, refuse_oversized
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.params import Cookie, Header, Path
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.http.openapi import ERRORS, STREAMED, UNAVAILABLE
from chassis.http.problem import Problem
from chassis.kinds import UnreadableDocument
from chassis.ports import Unavailable
from chassis.telemetry import Meters, logger

JSON = "application/json"
IDENTITY = "identity"
"""The content coding that is none."""

Health = Callable[[], tuple[bool, dict[str, Any]]]


def problem(status: int, title: str, detail: str = "", reasons: tuple[Reason, ...] = ()) -> JSONResponse:
    """An error as `application/problem+json` (RFC 9457)."""
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status}
    if detail:
        body["detail"] = detail
    if reasons:
        body["errors"] = [reason.model_dump() for reason in reasons]
    return JSONResponse(body, status, media_type="application/problem+json")


class StrictBody:
    """Reads a body before any route runs, and refuses one that is too long, is not said to be JSON, or is JSON that two
    readers could understand differently; the routes at `streaming` read theirs themselves.

    Routes get the bytes as they came (see `chassis.http.body`): FastAPI, told that they are JSON, would parse them in
    its own way.
    """

    def __init__(self, app: ASGIApp, streaming: Collection[str]) -> None:
        self._app = app
        self._streaming = streaming

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "GET" or scope["path"] in self._streaming:
            await self._app(scope, receive, send)
            return
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MOST_OPEN_BODY_BYTES:
                refusal = problem(413, "Body too large", f"at most {MOST_OPEN_BODY_BYTES} bytes are read here")
                await refusal(scope, receive, send)
                return
        if body and not _is_said_to_be_json(scope):
            # Any page in a browser may send what is not JSON to whatever that browser reaches, also on loopback; before
            # it sends JSON, the browser asks (https://fetch.spec.whatwg.org/#cors-safelisted-request-header).
            refusal = problem(415, "Unsupported media type", f"send JSON, and say so: Content-Type: {JSON}")
            await refusal(scope, receive, send)
            return
        try:
            if body:
                refuse_oversized(body)
                refuse_ambiguous(body)
        except Unreadable as unreadable:
            too_large = any(reason.code == TOO_LARGE for reason in unreadable.reasons)
            status, title = (413, "Body too large") if too_large else (400, "Malformed JSON")
            await problem(status, title, str(unreadable), unreadable.reasons)(scope, receive, send)
            return
        headers = [header for header in scope["headers"] if header[0] != b"content-type"]
        await self._app({**scope, "headers": headers}, _again(bytes(body), receive), send)


def _is_said_to_be_json(scope: Scope) -> bool:
    said = [value for name, value in scope["headers"] if name == b"content-type"]
    return bool(said) and all(is_media_type(value.decode("latin-1"), JSON) for value in said)


def is_media_type(said: str, wanted: str) -> bool:
    """Whether a Content-Type names this media type, whatever its parameters are (RFC 9110, 8.3.1)."""
    return said.partition(";")[0].strip().lower() == wanted


def _again(body: bytes, receive: Receive) -> Callable[[], Awaitable[Message]]:
    """Give the body that was read, then whatever else comes."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


class PlainBody:
    """Refuses a body that is packed, such as by gzip (RFC 9110, 8.4): nobody here unpacks it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] != "GET" and _is_packed(scope):
            refusal = problem(415, "Unsupported content coding", "send the body as it is, without Content-Encoding")
            refusal.headers["Accept-Encoding"] = IDENTITY
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_packed(scope: Scope) -> bool:
    named = ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"content-encoding")
    return any(coding.strip().lower() not in {"", IDENTITY} for coding in named.split(","))


class HeadersOnly:
    """Answers HEAD as GET is answered, but without the body (RFC 9110, 9.3.2); of a stream nothing else begins."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        with CancelScope() as answering:

            async def send_headers(message: Message) -> None:
                if message["type"] == "http.response.start":
                    await send(message)
                    await send({"type": "http.response.body", "body": b""})
                    answering.cancel()

            await self._app({**scope, "method": "GET"}, receive, send_headers)


def create_app(
    title: str,
    description: str,
    routers: Sequence[APIRouter],
    health: Health,
    measure: Callable[[], Awaitable[None]],
    meters: Meters,
) -> FastAPI:
    """The service's HTTP application."""
    # Its pages come from here: whoever operates the service may have no way to the servers that FastAPI would name.
    app = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        title=title,
        description=description,
        responses=ERRORS,
        redirect_slashes=False,  # behind TLS they would name http://, and a body be sent again for everybody to read
    )
    app.openapi_version = "3.2.0"  # streams are described by `itemSchema`, which 3.1 does not have
    app.add_middleware(StrictBody, streaming=_streaming(routers))
    app.add_middleware(PlainBody)
    app.add_middleware(HeadersOnly)
    for router in routers:
        app.include_router(router, dependencies=[Depends(_refuse_unknown_parameters)], responses=UNAVAILABLE)

    @app.get("/healthz", tags=["operation"], summary="Alive: the process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get(
        "/readyz",
        tags=["operation"],
        summary="Ready: every partition that is ours progresses",
        responses={503: {"content": {"application/json": {}}, "description": "Not ready; with the state of each"}},
    )
    async def readyz() -> JSONResponse:
        ready, details = health()
        return JSONResponse({"ready": ready, **details}, 200 if ready else 503)

    @app.get("/metrics", tags=["operation"], summary="Metrics for Prometheus", response_class=PlainTextResponse)
    async def metrics() -> Response:
        health()
        await measure()
        return Response(generate_latest(meters.registry), media_type=CONTENT_TYPE_LATEST)

    _handle_errors(app, routers)
    return app


async def _refuse_unknown_parameters(request: Request) -> None:
    """Whoever mistypes a filter would take everything for what it asked for. Raises RequestValidationError."""
    if not request.query_params:
        return
    declared = get_flat_params(request.scope["route"].dependant)
    known = {one.alias for one in declared if not isinstance(one.field_info, Path | Header | Cookie)}
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        message = f"no such query parameter; known are: {', '.join(sorted(known)) or 'none'}"
        raise RequestValidationError(
            [{"loc": ("query", name), "type": "extra_forbidden", "msg": message} for name in unknown]
        )


def _streaming(routers: Sequence[APIRouter]) -> frozenset[str]:
    """The paths whose routes read their bodies themselves."""
    return frozenset(
        route.path
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute)
        and STREAMED in (route.openapi_extra or {}).get("requestBody", {}).get("content", {})
    )


def _handle_errors(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        reasons = reasons_from([{**found, "loc": _without_place(found["loc"])} for found in error.errors()])
        return problem(422, "Invalid request", "one or more fields are wrong", reasons)

    @app.exception_handler(Problem)
    async def known(_: Request, error: Problem) -> JSONResponse:
        return problem(error.status, error.title, error.detail, error.reasons)

    @app.exception_handler(Unavailable)
    async def unavailable(_: Request, error: Unavailable) -> JSONResponse:
        response = problem(503, "Unavailable", str(error))
        response.headers["Retry-After"] = "1"
        return response

    @app.exception_handler(UnreadableDocument)
    async def unreadable(request: Request, error: UnreadableDocument) -> JSONResponse:
        logger(path=request.url.path).error("a stored document cannot be read", reason=str(error))
        return problem(500, "Unreadable document", f"this version of the service cannot read {error}")

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> JSONResponse:
        response = problem(error.status_code, str(error.detail))
        response.headers.update(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # The router names the methods of the first route of this path only.
            allowed = _methods_at([app, *routers], request.scope)
            response.headers["Allow"] = ", ".join(sorted(allowed | ({"HEAD"} if "GET" in allowed else set())))
        return response

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> JSONResponse:
        logger(path=request.url.path).error("a request failed", exc_info=error)
        return problem(500, "Internal error", "this is a bug; it is in the service's log")


def _methods_at(places: Sequence[FastAPI | APIRouter], scope: Scope) -> set[str]:
    return {
        method
        for place in places
        for route in place.routes
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE
        for method in route.methods or ()
    }


def _without_place(location: tuple[Any, ...]) -> tuple[Any, ...]:
    """FastAPI puts where a field was found (`body`, `query`, `path`) before its path."""
    return location[1:] if location and location[0] in {"body", "query", "path", "header"} else location
