"""The paths of a server: what each takes and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

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
    shelf: Shelf, answering: Answering, explaining: Explaining, metrics: Metrics, life: Life
) -> FastAPI:
    """Return the application of a server."""
    made = FastAPI(
        title="Quickstudy", version=__version__, description=_ABOUT, docs_url=None, redoc_url=None
    )
    made.add_exception_handler(Refused, _refused)  # type: ignore[arg-type]
    _add_state(made, shelf, metrics, life)
    _add_answers(made, shelf, answering, explaining)
    add_pages(made)
    return made


async def _refused(request: Request, problem: Refused) -> Response:
    request.scope["quickstudy.refused"] = problem.reason, problem.message
    return Response(
        problem.body(), problem.status, dict(problem.headers()), media_type="application/json"
    )


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


def _add_answers(made: FastAPI, shelf: Shelf, answering: Answering, explaining: Explaining) -> None:
    @made.post(
        "/predict", response_model=typed.Predictions, responses=typed.REFUSALS,
        openapi_extra=typed.BODY, summary="What a model says of examples",
    )  # fmt: skip
    async def predict(
        request: Request, model: str | None = None, coverage: str | None = None
    ) -> Response:
        served = chosen(shelf, model)
        async with answering.asked(served, _body(request)) as (given, hold):
            found = await answering.predict(served, given, hold, coverage_of(coverage, given))
        wrong = status_of(found, given, served.model.kind)
        told = {"model": served.name, "predictions": found, **wrong}
        return _typed(typed.Predictions.model_validate(told), 422 if wrong else 200)

    @made.post(
        "/explain", response_model=typed.Explained, responses=typed.REFUSALS,
        openapi_extra=typed.BODY, summary="Why a model says what it says of one example",
    )  # fmt: skip
    async def explain(
        request: Request, model: str | None = None, of: str | None = None
    ) -> Response:
        served = chosen(shelf, model)
        async with answering.asked(served, _body(request)) as (given, _):
            said = of if of is not None else given.options.get("of")
            found = await explaining.explain(served, given, None if said is None else str(said))
        return _typed(typed.Explained.model_validate(found), 200)


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
