"""A folder from which a container engine builds the model's server."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import yaml

from quickstudy.errors import ModelError
from quickstudy.export.contract import Making
from quickstudy.export.hub import extras
from quickstudy.model import load

_PORT = 8000
_DOCKERFILE = """# QUICKSTUDY_TOKEN=what-callers-must-send docker compose up --build
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 QUICKSTUDY_CACHE=/tmp/quickstudy

RUN useradd --create-home --uid 10001 quickstudy

# What else pip is to be told, e.g. where it finds PyTorch without CUDA
ARG PIP_OPTIONS=""
# hadolint ignore=DL3013,SC2086
RUN pip install --no-cache-dir "quickstudy[{extras}]=={version}" ${{PIP_OPTIONS}}

COPY --chown=10001:10001 model /model

USER 10001
EXPOSE {port}
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \\
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/healthz')"]
CMD ["quickstudy", "serve", "/model", "--host", "0.0.0.0", "--port", "{port}"]
"""
_COMPOSE = """services:
  model:
    build:
      context: .
      args:
        PIP_OPTIONS: ${{PIP_OPTIONS:-}}
    ports:
      - "127.0.0.1:{port}:{port}"
    environment:
      QUICKSTUDY_TOKEN: ${{QUICKSTUDY_TOKEN:?what callers must send, 8 characters or more}}
    read_only: true
    tmpfs:
      - /tmp
    cap_drop:
      - ALL
    security_opt:
      - no-new-privileges:true
    restart: unless-stopped
"""


class Docker:
    """Dockerfile, compose file, and a copy of the model; nothing is built or fetched here."""

    name: ClassVar[str] = "docker"
    file: ClassVar[str] = "Dockerfile"

    def write(self, made: Making, folder: Path) -> None:
        """Write; exports that lie in the model's folder come along, for the server runs them."""
        left = shutil.ignore_patterns("docker", "hub", "script", "native", ".*")
        shutil.copytree(made.folder, folder / "model", ignore=left)
        told = {
            "port": _PORT,
            "version": version("quickstudy"),
            "extras": extras("serve,onnx", made.model),
        }
        (folder / self.file).write_text(_DOCKERFILE.format(**told), encoding="utf-8")
        (folder / "compose.yaml").write_text(_COMPOSE.format(port=_PORT), encoding="utf-8")
        (folder / ".dockerignore").write_text("*\n!model\n", encoding="utf-8")

    def check(self, made: Making, folder: Path) -> None:
        """Load the copy; raises `ModelError` where it does not, or where a file is not as meant."""
        if load(folder / "model", "cpu").classes != made.model.classes:
            raise ModelError("The copy answers with other labels.", "Export again.")
        found = yaml.safe_load((folder / "compose.yaml").read_text(encoding="utf-8"))
        if "QUICKSTUDY_TOKEN" not in found["services"]["model"]["environment"]:
            raise ModelError("The compose file asks for no token.", "Export again.")
