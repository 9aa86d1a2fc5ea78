"""Files that a browser asks for: the page, and the documentation, from packages on this machine."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from fastapi import Request, Response

from quickstudy.serving.refusing import Refused

if TYPE_CHECKING:
    from fastapi import FastAPI

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
#: Swagger UI (Apache 2.0), as the package fastapi-swagger holds it.
_SWAGGER = ("fastapi_swagger.resources", ("swagger-ui-bundle.js", "swagger-ui.css"))
_DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Quickstudy: its interface</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" type="image/svg+xml" href="page/icon.svg">
<link rel="stylesheet" href="docs/swagger-ui.css">
<script src="docs/swagger-ui-bundle.js" defer></script>
<script src="docs/begin.js" defer></script>
</head><body><div id="docs"></div></body></html>
"""
_BEGIN = """SwaggerUIBundle({
  url: "openapi.json", dom_id: "#docs", validatorUrl: null, deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
});
"""


def add_pages(made: FastAPI) -> None:
    """Add the paths of files."""

    @made.get("/", include_in_schema=False)
    async def page() -> Response:
        return _file("quickstudy.serving.page", "index.html")

    @made.get("/page/{name}", include_in_schema=False)
    async def part(request: Request, name: str) -> Response:
        if name not in _names("quickstudy.serving.page"):
            raise Refused(404, "path", "There is no such file.")
        return _file("quickstudy.serving.page", name)

    @made.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(_DOCS, media_type=_TYPES[".html"])

    @made.get("/docs/{name}", include_in_schema=False)
    async def part_of_docs(name: str) -> Response:
        if name == "begin.js":
            return Response(_BEGIN, media_type=_TYPES[".js"])
        if name not in _SWAGGER[1]:
            raise Refused(404, "path", "There is no such file.")
        return _file(_SWAGGER[0], name)


@cache
def _names(package: str) -> frozenset[str]:
    """Return the names of a package's files that are served."""
    inside = resources.files(package.rpartition(".")[0]) / package.rpartition(".")[2]
    return frozenset(
        one.name for one in inside.iterdir() if "." + one.name.rpartition(".")[2] in _TYPES
    )


@cache
def _content(package: str, name: str) -> bytes:
    inside = resources.files(package.rpartition(".")[0]) / package.rpartition(".")[2]
    return (inside / name).read_bytes()


def _file(package: str, name: str) -> Response:
    kind = _TYPES["." + name.rpartition(".")[2]]
    return Response(_content(package, name), media_type=kind, headers={"Cache-Control": "no-cache"})
