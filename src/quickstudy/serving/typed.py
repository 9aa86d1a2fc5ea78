"""The types of what is asked and answered: what ``/openapi.json`` tells."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class _Answer(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="null", protected_namespaces=())


class Stretch(_Answer):
    """A stretch of a recording, in seconds from its beginning."""

    start: float = Field(alias="from")
    end: float = Field(alias="to")
    label: str | None = Field(description="null: silence")
    probability: float | None


class Predicted(_Answer):
    """What a model says of one example, as `Prediction.as_dict`."""

    name: str = Field(description="the example: its file's name, where it was given")
    label: str | None = Field(None, description="the likeliest class")
    probability: float | None = Field(None, description="how likely, 0 to 1")
    probabilities: dict[str, float] | None = Field(None, description="of every class or label")
    labels: list[str] | None = Field(None, description="of several labels: those that are there")
    values: dict[str, float | None] | None = Field(None, description="of numbers: each by name")
    error: str | None = Field(None, description="why the example could not be read")
    timeline: list[Stretch] | None = Field(None, description="what is heard when")
    coverage: float | None = Field(None, description="how often the set or ranges hold the truth")
    labels_set: list[str] | None = Field(None, description="classes that the truth is among")
    ranges: dict[str, list[float | None]] | None = Field(None, description="from where to where")
    unknown: bool | None = Field(None, description="unlike anything that was learnt from")


class Predictions(_Answer):
    """The answer of ``/predict``."""

    model: str
    predictions: list[Predicted]
    error: str | None = Field(None, description="why the only example could not be read")
    hint: str | None = None


class Near(_Answer):
    """A training example that is like the one asked about."""

    name: str
    label: str
    alike: float = Field(description="1 is the same")
    thumbnail: str | None = Field(None, description="a small picture, or its sound: a data URL")
    cells: dict[str, str] | None = Field(None, description="of a row: what it says")


class Counted(_Answer):
    """How much a column counted for an answer."""

    column: str
    cell: str
    usual: str
    share: float


class Explained(_Answer):
    """The answer of ``/explain``."""

    model: str
    sentence: str
    answer: Predicted
    of: str = Field(description="the output that is explained")
    method: str
    map: list[list[float]] | None = Field(description="shares of at most 14 by 14 parts")
    columns: list[Counted]
    usual: float | None
    neighbours: list[Near]
    compared: int = Field(description="training examples that were looked at")
    picture: str | None = Field(None, description="what was looked at, a data URL")
    overlay: str | None = Field(None, description="the map over it, a data URL")
    sound: str | None = Field(None, description="what was heard, a data URL")
    part: str | None = Field(None, description="the same, all else turned down, a data URL")
    about: str | None = Field(None, description="how to read the map, or why neighbours lack")


class AboutColumn(_Answer):
    """A column that a model for tables takes."""

    name: str
    type: str = Field(description="number, category, date, or left out: not needed")
    words: list[str] = Field(description="of a category: those it has learnt")
    hours: bool = Field(description="of a date: whether its hour counts")


class About(_Answer):
    """One model of the server."""

    name: str
    kind: str = Field(description="image, sound or table")
    task: str = Field(description="classification, multilabel or regression")
    classes: list[str] = Field(description="classes, labels or numbers, in order")
    facts: str = Field(description="how good it was on its test, in a sentence")
    runtime: str = Field(description="what computes")
    explains: bool
    promises: bool = Field(description="whether it takes a coverage")
    columns: list[AboutColumn] | None = Field(None, description="of a table")
    replaced: int = Field(description="how often it was replaced since the server began")
    limits: dict[str, float]


class Wrong(_Answer):
    """Why a request is refused."""

    error: str
    hint: str


class State(_Answer):
    """Whether the server lives, or is ready."""

    state: str


_REASONS = {
    400: "the body is not what it says it is",
    401: "a token is needed",
    403: "from another site, or for another host",
    404: "no such model",
    408: "the body came too slowly",
    413: "too large, or too many",
    415: "a body of a type that is not read",
    422: "a single example cannot be read, or an option is wrong",
    503: "full, too slow, loading or stopping: try again after Retry-After seconds",
}
#: The answers beside 200, for the documentation.
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Wrong, "description": what} for status, what in _REASONS.items()
}

_FILES = {"type": "array", "items": {"type": "string", "format": "binary"}}
_EXAMPLE = {
    "type": "object",
    "required": ["base64"],
    "properties": {"base64": {"type": "string"}, "name": {"type": "string"}},
}


def _listed(name: str, items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "array", "items": items}}}


_RAW = {"schema": {"type": "string", "format": "binary"}}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": {"type": "object", "properties": {"files": _FILES}}},
            "application/json": {
                "schema": {
                    "anyOf": [_listed("examples", _EXAMPLE), _listed("rows", {"type": "object"})]
                },
                "example": {"rows": [{"column": 1.5, "another": "word"}]},
            },
            "image/*": _RAW,
            "audio/*": _RAW,
            "application/octet-stream": _RAW,
        },
    }
}

_OPTIONS = {
    "model": "its name; else the first",
    "coverage": "as 0.95: also the set or the ranges that hold the truth as often",
    "of": "explain this answer, not the likeliest",
}


def asked(*names: str) -> dict[str, Any]:
    """Return what a request may hold, for the documentation: its options and its body."""
    options = [
        {"name": n, "in": "query", "description": _OPTIONS[n], "schema": {"type": "string"}}
        for n in names
    ]
    return {"parameters": options, **_BODY}
