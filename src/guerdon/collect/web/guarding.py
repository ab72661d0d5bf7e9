"""What every request passes: only our own name and origin, headers that keep pages to themselves, limits, a log."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

logger = logging.getLogger(__name__)

MOST_BYTES = 2_000_000
"""Of a form; a rewritten answer fits in many times."""
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_TEXT_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
_HEADERS = {name.encode(): value.encode() for name, value in _TEXT_HEADERS.items()}
CHART_POLICY = _POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
"""For pages with charts, whose lines have their style beside them."""


class Guard:
    """ASGI middleware around the whole app."""

    def __init__(self, app: Any, origins: Iterable[str]) -> None:
        """`origins` are those under which the app may be asked, as `http://127.0.0.1:8765`."""
        self.app = app
        self.origins = frozenset(origin.lower() for origin in origins)
        self.hosts = frozenset(urlsplit(origin).netloc for origin in self.origins)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Refuses what comes from elsewhere, else hands it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        fault = self._fault(scope["method"], headers)

        async def with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in _HEADERS.items() if name not in given),
                ]
            await send(message)

        if fault is None:
            await self.app(scope, receive, with_headers)
            return
        status, reason = fault
        log_refusal(scope, reason)
        body = f"Refused: {reason}\n".encode()
        plain = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
        await with_headers({"type": "http.response.start", "status": status, "headers": plain})
        await send({"type": "http.response.body", "body": body})

    def _fault(self, method: str, headers: dict[str, str]) -> tuple[int, str] | None:
        # A page elsewhere can make a browser ask this machine, under a name of its own (DNS rebinding) or as it is.
        if headers.get("host", "").lower() not in self.hosts:
            return 421, f"this server is not {headers.get('host', '')[:80]!r}"
        if method in ("GET", "HEAD"):
            return None
        if method != "POST":
            return 405, f"there is nothing to {method[:20]} here"
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in self.origins:
            return 403, f"a form of {origin[:80]!r} cannot be sent here"
        if origin is None and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, "a form of another site cannot be sent here"
        length = headers.get("content-length", "")
        if not length.isdigit() or int(length) > MOST_BYTES:
            return 413, f"a form has a length of at most {MOST_BYTES} bytes"
        return None


def log_refusal(scope: dict[str, Any], reason: str, who: str = "") -> None:
    """Writes what was refused to the log, on one line."""
    client = (scope.get("client") or ("?",))[0]
    path = str(scope.get("path", ""))[:200]
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    logger.warning(
        "%s refused: %s %r from %s%s: %s", now, scope.get("method"), path, client, f" ({who!r})" * bool(who), reason
    )


class RateLimits:
    """How often one address, name or person may do something in a minute, counted in this process."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def allows(self, what: str, who: str, per_minute: int, minutes: int = 1) -> bool:
        """Whether this time is within the limit; it counts."""
        return self._limiter.hit(RateLimitItemPerMinute(per_minute * minutes, minutes), what, who)
