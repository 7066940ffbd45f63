"""What every request passes first: an id, the key, limits and a clock. Plain ASGI, so that it costs microseconds."""

from __future__ import annotations

import logging
import re
import time
import uuid
from http.cookies import CookieError, SimpleCookie
from typing import Any

import orjson
from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shoploom.serving.keys import COOKIE, Keys, is_loopback
from shoploom.serving.metrics import Metrics

LOG = logging.getLogger("shoploom.serving")
OPEN_PATHS = ("/health", "/ready", "/login")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
LOGINS_PER_MINUTE = 10
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"


class Gate:
    """Wraps the application.

    Args:
        app: What comes after.
        keys: Checked when there are any.
        metrics: Counts every request by its route, never by its path, so that no id gets in.
        requests_per_minute: Per client; 0: no limit.
        max_body_bytes: Larger requests are refused with 413.
    """

    def __init__(
        self, app: ASGIApp, *, keys: Keys, metrics: Metrics, requests_per_minute: int, max_body_bytes: int
    ) -> None:
        self._app = app
        self._keys = keys
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._limit = RateLimit(requests_per_minute)
        self._login_limit = RateLimit(LOGINS_PER_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or turn it away."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _tag(MutableHeaders(scope=message), request_id)
            await send(message)

        try:
            refusal = self._refuse(scope, headers)
            if refusal is not None:
                await _refused(tagged, request_id, *refusal)
            else:
                await self._app(scope, _limited(receive, headers, self._max_body_bytes), tagged)
        except Exception:
            LOG.exception("request %s failed", request_id)
            if not status:
                await _refused(tagged, request_id, 500, "internal", "the service failed; its log has the details", {})
        finally:
            seconds = time.perf_counter() - start
            route = getattr(scope.get("route"), "path_format", "unmatched")
            self._metrics.request(route, scope["method"], status, seconds)
            LOG.info("%s %s %d %.1f ms %s", scope["method"], route, status, 1e3 * seconds, request_id)

    def _refuse(self, scope: Scope, headers: Headers) -> tuple[int, str, str, dict[str, str]] | None:
        path, method = scope["path"], scope["method"]
        client = scope["client"][0] if scope.get("client") else "unknown"
        if method not in SAFE_METHODS and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return 403, "cross_site", "another web site sent this request; open the dashboard itself", {}
        if path == "/login" and method == "POST" and (wait := self._login_limit.wait(client)):
            return _too_many(wait)
        if path in OPEN_PATHS or path.startswith("/static/"):
            return None
        if not self._keys.required:
            name = headers.get("host", "").rsplit(":", 1)[0] if "]" not in headers.get("host", "") else "::1"
            if not (is_loopback(name) or name == "testserver"):
                text = f"host {name!r} is not this machine; without an API key only localhost is answered"
                return 403, "wrong_host", text, {}
        elif (client := self._who(headers)) == "":
            if method == "GET" and "text/html" in headers.get("accept", ""):
                return 303, "login", "log in first", {"location": "/login"}
            text = "send a valid API key as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            return 401, "unauthorized", text, {"www-authenticate": "Bearer"}
        if wait := self._limit.wait(client):
            return _too_many(wait)
        return None

    def _who(self, headers: Headers) -> str:
        """What stands for the client in limits; empty if it may not enter."""
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        key = headers.get("x-api-key") or (bearer.strip() if scheme.lower() == "bearer" else "")
        if key:
            return self._keys.find(key) or ""
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return ""
        return cookie.value[-16:] if cookie and self._keys.accepts_cookie(cookie.value) else ""


class RateLimit:
    """A bucket per client that holds a minute's requests and fills up again steadily.

    Args:
        per_minute: 0 lets everything pass.

    Example:
        >>> limit = RateLimit(1)
        >>> limit.wait("a"), limit.wait("b"), limit.wait("a") > 50
        (0.0, 0.0, True)
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._full_at: dict[str, float] = {}

    def wait(self, client: str) -> float:
        """Seconds until the client may send again; 0 if this request may pass."""
        if not self._per_minute:
            return 0.0
        now, cost = time.monotonic(), 60.0 / self._per_minute
        if len(self._full_at) > 10_000:
            self._full_at = {one: at for one, at in self._full_at.items() if at > now}
        full_at = max(now, self._full_at.get(client, now)) + cost
        if full_at - now > 60.0 + 1e-6:
            return full_at - now - 60.0
        self._full_at[client] = full_at
        return 0.0


def error_body(request_id: str, code: str, message: str, fields: list[dict[str, Any]] | None = None) -> bytes:
    """The one form of all errors; ``fields`` names what is wrong with the input."""
    error = {"code": code, "message": message} | ({"fields": fields} if fields else {})
    return orjson.dumps({"request_id": request_id, "error": error})


def _too_many(wait: float) -> tuple[int, str, str, dict[str, str]]:
    seconds = max(1, round(wait + 0.5))
    return 429, "too_many_requests", f"too many requests; wait {seconds} s", {"retry-after": str(seconds)}


async def _refused(send: Send, request_id: str, status: int, code: str, message: str, headers: dict[str, str]) -> None:
    body = error_body(request_id, code, message)
    pairs = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    pairs += [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def _limited(receive: Receive, headers: Headers, most: int) -> Receive:
    """The same messages, but an error once the body is larger than allowed, however it is sent."""
    announced = headers.get("content-length", "")
    got = 0

    async def counted() -> Message:
        nonlocal got
        if announced.isdigit() and int(announced) > most:
            raise _too_large(most)
        message = await receive()
        got += len(message.get("body", b""))
        if got > most:
            raise _too_large(most)
        return message

    return counted


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, f"the request is larger than {most:,} bytes; send it in smaller batches")


def _tag(headers: MutableHeaders, request_id: str) -> None:
    headers["x-request-id"] = request_id
    headers["x-content-type-options"] = "nosniff"
    headers["referrer-policy"] = "same-origin"
    headers.setdefault("content-security-policy", _POLICY)
    headers.setdefault("cache-control", "no-store")
