"""Errors as each API shows them."""

from collections.abc import Mapping
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from orpheus_bridge.errors import BadRequest, BridgeError, Failed, NotFound, TooLarge, Unauthorized
from orpheus_bridge.telemetry.log import logger

OPENAI_PREFIX = "/v1/"
SHOWN_CHARS = 40

UNSHOWN = frozenset({"text", "input", "instructions", "transcript"})
"""Fields whose values are what people say."""


class ClientGone(Exception):
    """Nobody is there to answer."""


def failure(path: str, error: BridgeError) -> Response:
    """The answer to a request on `path` that ends in `error`."""
    body = openai_body(error) if path.startswith(OPENAI_PREFIX) else own_body(error)
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, status_code=error.http_status, headers=headers)


def own_body(error: BridgeError) -> dict[str, object]:
    """The shape of `/api` and everything else that is not OpenAI's."""
    return {"status": "error", "code": error.code, "detail": str(error), "param": error.param}


def openai_body(error: BridgeError) -> dict[str, object]:
    """The shape that OpenAI's clients read."""
    kind = _OPENAI_TYPES.get(error.http_status, "server_error" if error.http_status >= 500 else "invalid_request_error")
    code = _OPENAI_CODES.get(error.code, error.code)
    return {"error": {"message": str(error), "type": kind, "param": error.param, "code": code}}


_OPENAI_TYPES: Mapping[int, str] = {429: "rate_limit_error", 401: "authentication_error"}
_OPENAI_CODES: Mapping[str, str] = {"busy": "rate_limit_exceeded", "unauthorized": "invalid_api_key"}


def add_handlers(app: FastAPI) -> None:
    """Every way in which a route can fail ends in one of our shapes."""
    app.add_exception_handler(BridgeError, _bridge_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(ClientGone, _client_gone)
    app.add_exception_handler(Exception, _unexpected)


async def _bridge_error(request: Request, error: Exception) -> Response:
    return failure(request.url.path, cast("BridgeError", error))


async def _validation_error(request: Request, error: Exception) -> Response:
    first = cast("RequestValidationError", error).errors()[0]
    return failure(request.url.path, bad_field(first))


async def _http_exception(request: Request, error: Exception) -> Response:
    answer = cast("HTTPException", error)
    known = {404: NotFound, 413: TooLarge}.get(answer.status_code, BadRequest)
    response = failure(request.url.path, known(f"{request.method} {_shown(request.url.path)}: {answer.detail}"))
    response.status_code = answer.status_code
    response.headers.update(answer.headers or {})
    return response


async def _client_gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)


async def _unexpected(request: Request, error: Exception) -> Response:
    logger().error("request_failed", exc_info=error)
    return failure(request.url.path, Failed("the service failed"))


def bad_field(problem: Mapping[str, Any]) -> BadRequest:
    """`field: value: fix` of one of pydantic's problems."""
    place = [str(part) for part in problem["loc"] if part not in ("body", "query", "path", "header")]
    field = ".".join(place) or "body"
    message = str(problem["msg"])
    if problem["type"] == "json_invalid":
        return BadRequest(f"body: no JSON: {problem['ctx']['error']}, send a JSON object with application/json")
    if problem["type"] == "missing":
        return BadRequest(f"{field}: missing: send it", param=field)
    if field == "body":
        return BadRequest("body: no object: send a JSON object with content type application/json")
    value = "as sent" if place[0] in UNSHOWN else _shown(problem.get("input"))
    return BadRequest(f"{field}: {value}: {message[:1].lower()}{message[1:]}", param=field)


def _shown(value: object) -> str:
    text = ascii(value) if isinstance(value, str) else str(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"
