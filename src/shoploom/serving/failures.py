"""Errors as answers: a status code, a code for machines, a sentence for people, and never a stack trace."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from shoploom.errors import (
    DataError,
    MissingExtraError,
    NotFoundError,
    NotReadyError,
    ShoploomError,
    UsageError,
    WorkspaceError,
)
from shoploom.serving.gate import error_body
from shoploom.serving.service import request_id

STATUS: tuple[tuple[type[ShoploomError], int, str], ...] = (
    (NotFoundError, 404, "not_found"),
    (NotReadyError, 503, "not_ready"),
    (DataError, 422, "invalid_data"),
    (MissingExtraError, 501, "not_installed"),
    (UsageError, 422, "invalid_request"),
    (WorkspaceError, 503, "workspace"),
)
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


def install(app: FastAPI) -> None:
    """Let an application answer all errors in one form."""
    app.add_exception_handler(ShoploomError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(msgspec.ValidationError, _undecodable)
    app.add_exception_handler(msgspec.DecodeError, _undecodable)
    app.add_exception_handler(HTTPException, _http)


def status_of(error: ShoploomError) -> tuple[int, str]:
    """Status and code of one of our errors.

    Example:
        >>> status_of(NotFoundError("product 'x' is unknown"))
        (404, 'not_found')
    """
    for kind, status, code in STATUS:
        if isinstance(error, kind):
            return status, code
    return 500, "internal"


async def _ours(request: Request, error: Exception) -> Response:
    status, code = status_of(cast(ShoploomError, error))
    return _response(request, status, code, str(error))


async def _invalid(request: Request, error: Exception) -> Response:
    found = cast(RequestValidationError, error).errors()
    fields = [
        {"field": ".".join(str(one) for one in each["loc"][1:]) or "body", "problem": each["msg"]} for each in found
    ]
    text = "; ".join(f"{one['field']}: {one['problem']}" for one in fields[:5])
    return _response(request, 422, "invalid_request", text, fields)


async def _undecodable(request: Request, error: Exception) -> Response:
    problem, _, place = str(error).partition(" - at `$")
    field = place.rstrip("`").lstrip(".") or "body"
    return _response(request, 422, "invalid_request", f"{field}: {problem}", [{"field": field, "problem": problem}])


async def _http(request: Request, error: Exception) -> Response:
    raised = cast(HTTPException, error)
    code = _CODES.get(raised.status_code, "invalid_request")
    text = (
        f"there is no {request.url.path}; /docs lists what there is" if raised.detail == "Not Found" else raised.detail
    )
    return _response(request, raised.status_code, code, text)


def _response(
    request: Request, status: int, code: str, message: str, fields: list[dict[str, Any]] | None = None
) -> Response:
    if "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/v1/"):
        page: Response = request.app.state.pages.error(status, message)
        return page
    body = error_body(request_id(request), code, message, fields)
    return Response(body, status_code=status, media_type="application/json")
