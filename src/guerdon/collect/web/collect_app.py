"""The app: routes, the pages of faults, static files."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from importlib import resources
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException

from guerdon.collect.web import dispute_pages, judge_pages, overview_pages, people_pages, sign_in_pages
from guerdon.collect.web.guarding import Guard
from guerdon.collect.web.site import Site, asking

_STATIC = {
    "report.css": ("guerdon.report", "templates/report.css", "text/css"),
    "collect.css": ("guerdon.collect", "static/collect.css", "text/css"),
    "collect.js": ("guerdon.collect", "static/collect.js", "text/javascript"),
    "icon.svg": ("guerdon.collect", "static/icon.svg", "image/svg+xml"),
}
"""Name -> package, file, media type: nothing else is served from disk."""


THREADS = 2
"""Requests that are worked on side by side."""


def create_app(site: Site, origins: Iterable[str]) -> Any:
    """The app as ASGI, behind its guard.

    Args:
        site: the store and how it is served.
        origins: under which it may be asked, as `http://127.0.0.1:8765`.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=_few_threads)
    app.state.site = site
    for pages in (sign_in_pages, judge_pages, dispute_pages, overview_pages, people_pages):
        app.include_router(pages.router)
    files = {
        name: (resources.files(package).joinpath(path).read_bytes(), media)
        for name, (package, path, media) in _STATIC.items()
    }

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "not_found")
        content, media = files[name]
        return Response(content, media_type=media, headers={"cache-control": "public, max-age=3600"})

    app.add_exception_handler(StarletteHTTPException, _fault_page)
    app.add_exception_handler(RequestValidationError, _not_found)
    return Guard(app, origins)


@contextlib.asynccontextmanager
async def _few_threads(app: FastAPI) -> AsyncIterator[None]:
    """Python runs one thread at a time, and the one whose turn it is to write to the store waits for all others."""
    import anyio.to_thread

    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


def _not_found(request: Request, error: Exception) -> Response:
    return _fault_page(request, HTTPException(404, "not_found"))


def _fault_page(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    ask = asking(request)
    missing = error.status_code in (404, 405)
    reason = error.detail if error.detail in ask.text else "not_found" if missing else "form_broken"
    if request.headers.get("x-guerdon"):
        return JSONResponse({"fault": ask.text[reason]}, status_code=error.status_code)
    if error.status_code == 401 and request.method == "GET":
        return RedirectResponse("/sign-in", status_code=303)
    heading = ask.text.get(f"fault_{404 if missing else error.status_code}", ask.text["fault_other"])
    return ask.page("fault.html.j2", status=error.status_code, heading=heading, reason=ask.text[reason])
