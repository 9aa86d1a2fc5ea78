"""The paths of a server: what each takes and answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from quickstudy import __version__
from quickstudy.errors import did_you_mean
from quickstudy.serving import typed
from quickstudy.serving.answering import Answering, Body, coverage_of, status_of
from quickstudy.serving.explaining import Explaining
from quickstudy.serving.metrics import Metrics
from quickstudy.serving.models import Served, Shelf
from quickstudy.serving.pages import add_pages
from quickstudy.serving.refusing import Refused, busy

if TYPE_CHECKING:
    from quickstudy.serving.stopping import Life

_ABOUT = (
    "Trained models, asked over HTTP. Send files as a form (field `files`), JSON with base64, or "
    "the bytes of one file; rows of a table as JSON. Many at once are answered in order."
)


def app_of(
    shelf: Shelf,
    answering: Answering,
    explaining: Explaining,
    metrics: Metrics,
    life: Life,
    *,
    protected: bool = False,
) -> Any:
    """Return the application of a server; where it is protected, its description says so."""
    made = FastAPI(
        title="Quickstudy", version=__version__, description=_ABOUT, docs_url=None, redoc_url=None
    )
    made.add_exception_handler(Refused, _refused)  # type: ignore[arg-type]
    made.add_exception_handler(HTTPException, _unrouted)  # type: ignore[arg-type]
    _add_state(made, shelf, metrics, life)
    answers = _answers(shelf, answering, explaining)
    _describe(made, answers)
    add_pages(made)
    if protected:
        made.openapi = partial(_with_token, made.openapi)  # type: ignore[method-assign]
    return _Direct(made, answers)


def _with_token(described: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the interface's description, with the token that every path asks for."""
    found = described()
    schemes = found.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["token"] = {"type": "http", "scheme": "bearer"}
    found["security"] = [{"token": []}]
    return found


async def _refused(request: Request, problem: Refused) -> Response:
    request.scope["quickstudy.refused"] = problem.reason, problem.message
    return Response(
        problem.body(), problem.status, dict(problem.headers()), media_type="application/json"
    )


async def _unrouted(request: Request, problem: HTTPException) -> Response:
    """Answer where no path, or no method of it, is as asked."""
    path, method = request.url.path, request.method
    if problem.status_code == 405:
        allowed = (problem.headers or {}).get("Allow", "")
        what, hint = f"{path} cannot be asked with {method}.", f"Use {allowed}."
    else:
        what, hint = f"There is no {path} here.", "What there is: /docs"
    refused = await _refused(request, Refused(problem.status_code, "path", what, hint))
    refused.headers.update(problem.headers or {})
    return refused


def _add_state(made: FastAPI, shelf: Shelf, metrics: Metrics, life: Life) -> None:
    @made.get("/healthz", response_model=typed.State, summary="Whether the server lives")
    async def healthz() -> Any:
        return {"state": "alive"}

    @made.get(
        "/readyz",
        response_model=typed.State,
        responses={503: {"model": typed.State}},
        summary="Whether it answers: not while it loads or stops",
    )
    async def readyz() -> Any:
        state = "stopping" if life.stopping else "ready" if shelf.ready else "loading"
        fine = state == "ready"
        headers = {} if fine else {"Retry-After": "1"}
        return JSONResponse({"state": state}, 200 if fine else 503, headers)

    @made.get("/metrics", summary="What was counted, as Prometheus reads it")
    async def read_metrics() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @made.get(
        "/models", response_model=list[typed.About], response_model_exclude_none=True,
        responses=_some(503), summary="The models that are served",
    )  # fmt: skip
    async def models() -> Any:
        if not shelf.ready:
            raise busy("loading", "The models are being loaded.")
        return [about(one, life.limits.as_dict()) for one in shelf.models.values()]


def _answers(
    shelf: Shelf, answering: Answering, explaining: Explaining
) -> dict[str, Callable[[Request], Awaitable[Response]]]:
    """Return what answers each path that is posted to."""

    async def predict(request: Request) -> Response:
        asked = request.query_params
        served = chosen(shelf, asked.get("model"))
        async with answering.asked(served, _body(request)) as (given, hold):
            coverage = coverage_of(asked.get("coverage"), given)
            found = await answering.predict(served, given, hold, coverage)
        wrong = status_of(found, given, served.model.kind)
        told = {"model": served.name, "predictions": found, **wrong}
        return _typed(typed.Predictions.model_validate(told), 422 if wrong else 200)

    async def explain(request: Request) -> Response:
        asked = request.query_params
        served = chosen(shelf, asked.get("model"))
        async with answering.asked(served, _body(request)) as (given, _):
            of = asked.get("of", given.options.get("of"))
            found = await explaining.explain(served, given, None if of is None else str(of))
        return _typed(typed.Explained.model_validate(found), 200)

    return {"/predict": predict, "/explain": explain}


def _describe(made: FastAPI, answers: dict[str, Any]) -> None:
    """Add the paths that are posted to, with their documentation."""
    made.post(
        "/predict", response_model=typed.Predictions, responses=typed.REFUSALS,
        openapi_extra=typed.asked("model", "coverage"), summary="What a model says of examples",
    )(answers["/predict"])  # fmt: skip
    made.post(
        "/explain", response_model=typed.Explained, responses=typed.REFUSALS,
        openapi_extra=typed.asked("model", "of"), summary="Why a model says so of one example",
    )(answers["/explain"])  # fmt: skip


class _Direct:
    """Answers what is posted without FastAPI's machinery, whose share of the processor is more
    than a small network's; all else goes its way.
    """

    def __init__(self, made: FastAPI, answers: dict[str, Any]) -> None:
        self._made = made
        self._answers = answers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        answer = self._answers.get(scope["path"]) if scope["method"] == "POST" else None
        if answer is None:
            if scope["method"] == "HEAD":  # the same headers; the server leaves the body out
                scope = {**scope, "method": "GET"}
            await self._made(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await answer(request)
        except Refused as problem:
            response = await _refused(request, problem)
        await response(scope, receive, send)


def _typed(answer: typed.Predictions | typed.Explained, status: int) -> Response:
    text = answer.model_dump_json(by_alias=True, exclude_unset=True)
    return Response(text, status, media_type="application/json")


def _some(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: typed.REFUSALS[status] for status in statuses}


def _body(request: Request) -> Body:
    headers = request.headers
    return Body(request.stream(), headers.get("content-type", ""), headers.get("content-length"))


def chosen(shelf: Shelf, name: str | None) -> Served:
    """Return the model that a request names, or the only or first one; raises `Refused`."""
    if not shelf.ready:
        raise busy("loading", "The models are being loaded.")
    if name is None:
        return next(iter(shelf.models.values()))
    if name not in shelf.models:
        known = ", ".join(shelf.models)
        hint = did_you_mean(name[:200], shelf.models) or f"There is: {known}."
        raise Refused(404, "model", f"No model is called '{name[:200]}'.", hint)
    return shelf.models[name]


def about(served: Served, limits: dict[str, Any]) -> dict[str, Any]:
    """Return what is told of a model."""
    model = served.model
    told: dict[str, Any] = {
        "name": served.name,
        "kind": model.kind,
        "task": model.task.name,
        "classes": list(model.classes),
        "facts": str(model.facts.get("result", "")),
        "runtime": served.runtime,
        "explains": served.explains,
        "promises": model.calibration.sets is not None,
        "replaced": served.since,
        "limits": limits,
    }
    if model.kind == "table":
        told["columns"] = [
            {"name": c.name, "type": c.type, "words": list(c.words), "hours": c.hours}
            for c in model.preparation.columns
        ]
    return told
