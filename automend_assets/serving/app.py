"""The HTTP interface: correcting, recording corrections, saying which model is served, health and metrics.

What belongs here: requests and answers. What does not: which model is served (`model.py`), how the process is run
(`run.py`). What people type is in no log and no metric.
"""

import gc
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Annotated, Any, Literal

import orjson
import polars as pl
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from automend_assets.connectors.interactions.log import Correction
from automend_assets.connectors.interactions.resource import InteractionsResource
from automend_assets.datasets.typos.interactions import MAX_CHARACTERS, REASONS, ROWS_SCHEMA, validate
from automend_assets.errors import AutomendError
from automend_assets.privacy.scanner import Scanner
from automend_assets.serving.batching import Batcher
from automend_assets.serving.model import ModelInUse, Served
from automend_assets.settings import Settings
from automend_assets.storage.store import Store
from automend_assets.versions.manifest import version_number
from automend_assets.versions.promotions import Promotions

LARGEST_BODY = 4_096
"""Bytes; the longest texts that are allowed are far shorter."""
LONGEST_TEXT = 200

_LOG = logging.getLogger(__name__)
_NO_MODEL = (
    "No model is in use yet. Make and promote one: automend cut typos, automend materialize typos v0001."
)


class Query(BaseModel):
    """What somebody typed, the field it was typed into, and how many candidates are wanted."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(max_length=LONGEST_TEXT)]
    domain: Literal["brand", "model"]
    k: Annotated[int, Field(ge=1, le=50)] = 5


class NewCorrection(BaseModel):
    """What was typed, what was meant, and the field."""

    model_config = ConfigDict(extra="forbid")

    typo: Annotated[str, Field(max_length=MAX_CHARACTERS)]
    corrected: Annotated[str, Field(max_length=MAX_CHARACTERS)]
    domain: Literal["brand", "model"]


_QUERY, _CORRECTION = TypeAdapter(Query), TypeAdapter(NewCorrection)

REQUESTS = Counter("automend_requests", "Requests, by path and status.", ["path", "status"])
SECONDS = Histogram(
    "automend_correct_seconds",
    "Time from a whole request to its answer.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0),
)
VERSION = Gauge(
    "automend_model_version", "Number of the version that is served.", multiprocess_mode="livemostrecent"
)
CORRECTIONS = Gauge(
    "automend_model_corrections",
    "Corrections that the served model knows.",
    multiprocess_mode="livemostrecent",
)
FAILURES = Counter("automend_model_failures", "Times that the model in use could not be taken.")


def create_app() -> FastAPI:
    """The application with the environment's settings."""
    return build_app(Settings())


def build_app(settings: Settings) -> FastAPI:
    """The application; nothing is loaded before it starts."""
    models = ModelInUse(
        Promotions(settings.ledger_url.get_secret_value()),
        Store(settings.store_url),
        poll_seconds=settings.model_poll_seconds,
        on_change=_count_corrections,
        on_failure=FAILURES.inc,
    )
    batcher = Batcher(lambda: models.current)
    interactions = InteractionsResource(settle_seconds=settings.settle_seconds)
    rate, limiter = parse(settings.interactions_rate), MovingWindowRateLimiter(MemoryStorage())
    scanner = Scanner()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(models.start)
        # What is loaded by now stays: collecting it again and again would only make requests wait.
        gc.collect()
        gc.freeze()
        yield
        await run_in_threadpool(models.stop)

    app = FastAPI(title="AutoMend typo correction", lifespan=lifespan)

    @app.post("/correct", openapi_extra=_body_of(Query), responses={503: {"description": "No model in use."}})
    async def correct(request: Request) -> Response:
        """The corrections that may be meant, best first, with scores."""
        started = perf_counter()
        query = _parsed(_QUERY, await _body(request))
        found = await batcher.find(query.text, query.domain, query.k)
        if found is None:
            raise HTTPException(503, _NO_MODEL)
        version, candidates = found
        answer = {"version": version, "candidates": [candidate._asdict() for candidate in candidates]}
        SECONDS.observe(perf_counter() - started)
        return _json(answer)

    @app.get("/model")
    async def model() -> Response:
        """Which version is served, and what it was made from."""
        served = models.current
        if served is None:
            raise HTTPException(503, _NO_MODEL)
        return _json(
            {"version": served.version, "corrections": len(served.lookup.entries), "training": served.facts}
        )

    @app.get("/healthz")
    async def healthz() -> Response:
        """Whether the process answers, which version it serves, and what keeps it from taking another."""
        served = models.current
        return _json({"status": "ok", "version": served.version if served else None, "error": models.error})

    @app.get("/metrics")
    async def metrics() -> Response:
        """Prometheus metrics of all processes of the service."""
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.post("/interactions", status_code=201, openapi_extra=_body_of(NewCorrection))
    async def record(request: Request) -> Response:
        """Record a correction for the next version; it needs the key, as X-API-Key or as a bearer token."""
        _require_key(request, settings)
        client = request.client.host if request.client else "unknown"
        if not limiter.hit(rate, client):
            reset = limiter.get_window_stats(rate, client).reset_time
            wait = max(1, int(reset - _now()) + 1)
            raise HTTPException(
                429, f"More than {settings.interactions_rate}: wait {wait} s.", {"Retry-After": str(wait)}
            )
        given = _parsed(_CORRECTION, await _body(request))
        reason = await run_in_threadpool(_why_refused, given, scanner)
        if reason is not None:
            raise HTTPException(422, f"{reason}: {REASONS[reason]}")
        try:
            await run_in_threadpool(_add, interactions, given)
        except AutomendError as error:
            _LOG.error("a correction was not recorded: %s", error)
            raise HTTPException(
                503, "The correction was not recorded: the database is not available. Send it again."
            ) from None
        return _json({"recorded": True}, status=201)

    app.add_middleware(_Direct, path="/correct", endpoint=correct)
    app.add_middleware(_Counted)
    return app


_PATHS = {"/correct", "/model", "/healthz", "/metrics", "/interactions", "/docs", "/openapi.json"}


class _Counted:
    """Counts answers. Not a `BaseHTTPMiddleware`, which costs as much as the rest of the framework."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in _PATHS else "other"

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                REQUESTS.labels(path, message["status"]).inc()
            await send(message)

        await self._app(scope, receive, counted)


class _Direct:
    """Answers POST requests for one path by its endpoint, past the framework's routing, which takes as long as it."""

    def __init__(self, app: ASGIApp, path: str, endpoint: Callable[[Request], Awaitable[Response]]) -> None:
        self._app, self._path, self._endpoint = app, path, endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self._path or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            response = await self._endpoint(Request(scope, receive))
        except HTTPException as refused:
            response = _json({"detail": refused.detail}, refused.status_code)
            response.headers.update(refused.headers or {})
        await response(scope, receive, send)


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def _body_of(model: type[BaseModel]) -> dict[str, Any]:
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


async def _body(request: Request) -> bytes:
    """The body, read no further than allowed, whatever its length is said to be."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST_BODY:
            raise HTTPException(413, f"The body has more than {LARGEST_BODY} bytes.", {"Connection": "close"})
        parts.append(part)
    return b"".join(parts)


def _parsed(adapter: TypeAdapter[Any], body: bytes) -> Any:
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False, include_context=False)
        detail = [{"field": ".".join(map(str, item["loc"])), "problem": item["msg"]} for item in wrong]
        raise HTTPException(422, detail) from None


def _require_key(request: Request, settings: Settings) -> None:
    if settings.api_key is None:
        raise HTTPException(503, "Recording is off: start the service with AUTOMEND_API_KEY set.")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = request.headers.get("x-api-key") or (token if scheme.lower() == "bearer" else "")
    if not hmac.compare_digest(given.encode(), settings.api_key.get_secret_value().encode()):
        raise HTTPException(
            401, "The key is missing or wrong: send it as X-API-Key.", {"WWW-Authenticate": "Bearer"}
        )


def _why_refused(given: NewCorrection, scanner: Scanner) -> str | None:
    """The reason for which a version would refuse this correction."""
    row = {**given.model_dump(), "row_number": 0, "created_at": None}
    _, refused = validate(pl.DataFrame([row], schema=ROWS_SCHEMA), scanner)
    return str(refused["reason"][0]) if refused.height else None


def _add(interactions: InteractionsResource, given: NewCorrection) -> None:
    with interactions.open() as log:
        log.add([Correction(given.typo.strip(), given.corrected.strip(), given.domain)])


def _count_corrections(served: Served) -> None:
    VERSION.set(version_number(served.version) or 0)
    CORRECTIONS.set(len(served.lookup.entries))


def _now() -> float:
    from time import time

    return time()
