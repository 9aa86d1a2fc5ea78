"""MLflow: to ``$MLFLOW_TRACKING_URI``, else to a SQLite file in RUN/mlflow."""

from __future__ import annotations

import importlib
import logging
import os
import shlex
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from quickstudy.tracking.contract import Point, Result, Tracker

FOLDER = "mlflow"
_EXPERIMENT = "quickstudy"
_METRICS, _PARAMS = 1000, 100  # of one request, at most
_LONGEST = 6000  # characters of a parameter
#: MLflow's own are 120 s and 7 tries: a server that has gone would be asked for minutes.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}

One = TypeVar("One")


class MLflow(Tracker):
    """Metrics against the whole seconds of the run, the recipe as parameters."""

    title = "MLflow"
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}  # noqa: RUF012
    copies = True
    id_file = "mlflow.id"

    @classmethod
    def load(cls) -> None:
        """Import the client, and what a SQLite file needs where no server is named."""
        for word, value in _PATIENCE.items():
            os.environ.setdefault(word, value)
        needed = ["mlflow.tracking"]
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            needed += ["sqlalchemy", "alembic"]
        for name in needed:
            importlib.import_module(name)
        for name in ("mlflow", "alembic"):  # they tell of every table they make
            logging.getLogger(name).setLevel(logging.WARNING)

    def __init__(self, folder: Path) -> None:
        from mlflow.tracking import MlflowClient

        uri = os.environ.get("MLFLOW_TRACKING_URI")
        place = (folder / FOLDER).absolute()
        if not uri:
            place.mkdir(exist_ok=True)
        address = uri or f"sqlite:///{place / 'mlflow.db'}"
        self._client = MlflowClient(tracking_uri=address, registry_uri=address)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _EXPERIMENT)
        self._run = self._resumed(folder)
        if not self._run:
            experiment = self._experiment(name, None if uri else (place / "artifacts").as_uri())
            tags = {"mlflow.source.name": "quickstudy", "quickstudy.run": str(folder.absolute())}
            begun = self._client.create_run(experiment, run_name=folder.name, tags=tags)
            self._run = begun.info.run_id
            self.keep(folder, self._run)
        self._last = 0
        self.where = f"MLflow: run {self._run} in experiment '{name}' at {_without_password(uri)}"
        if not uri:
            self.where = f"MLflow: mlflow ui --backend-store-uri {shlex.quote(address)}"

    def _resumed(self, folder: Path) -> str:
        """Return the run that is gone on with; '' for a new one, or where it is not there any more.

        A server that does not answer is no reason to begin another run: that raises.
        """
        from mlflow.exceptions import MlflowException

        run = self.known(folder)
        if run is None:
            return ""
        try:
            there = self._client.get_run(run).info.lifecycle_stage == "active"
        except MlflowException as problem:
            if problem.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            there = False
        if there:
            self._client.update_run(run, status="RUNNING")
        return run if there else ""

    def _experiment(self, name: str, artifacts: str | None) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name, artifact_location=artifacts))
            except MlflowException:  # another run made it meanwhile
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def write(self, points: Sequence[Point]) -> None:
        """Keep points; what was said stays with the run."""
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, int(1000 * point.moment), int(point.seconds))
            for point in points
            for name, value in point.numbers.items()
        ]
        self._last = int(points[-1].seconds)
        for part in _parts(metrics, _METRICS):
            self._client.log_batch(self._run, metrics=part)

    def result(self, result: Result, *, copying: bool) -> None:
        """Keep scores, recipe and words; the model's folder is copied only where asked."""
        from mlflow.entities import Metric, Param, RunTag

        at = int(1000 * result.moment)
        metrics = [Metric(name, value, at, self._last) for name, value in result.scores.items()]
        told = self._client.get_run(self._run).data.params  # before a resume: they may not change
        params = [
            Param(key, str(value)[:_LONGEST])
            for key, value in result.recipe.items()
            if key not in told
        ]
        tags = [
            RunTag("quickstudy.model", str(result.model.absolute())),
            RunTag("mlflow.note.content", result.words),  # the run's description
        ]
        self._client.log_batch(self._run, metrics=metrics, tags=tags)
        for part in _parts(params, _PARAMS):
            self._client.log_batch(self._run, params=part)
        if copying:
            self._client.log_artifacts(self._run, str(result.model), "model")

    def close(self, *, whole: bool) -> None:
        """End the run as finished or failed."""
        self._client.set_terminated(self._run, "FINISHED" if whole else "FAILED")


def _parts(items: Sequence[One], most: int) -> Iterator[list[One]]:
    rest: Any = iter(items)
    while part := list(islice(rest, most)):
        yield part


def _without_password(address: str | None) -> str:
    """Return an address without the user and password that may stand in it.

    >>> _without_password("https://ann:secret@host:5000/x")
    'https://host:5000/x'
    """
    scheme, sep, rest = (address or "").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{sep}{host.rpartition('@')[2]}{slash}{path}"
