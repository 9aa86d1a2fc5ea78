"""The search's memory: an Optuna study in a file of its folder, or in any storage.

Optuna chooses what to try (TPE: Bergstra et al., 2011), keeps every trial, and says which to prune.
A trial of ours is a whole `learn`; when it is begun again with more time, that is another trial.
"""

from __future__ import annotations

import math
import random
import statistics
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from quickstudy.errors import ChoiceError, MissingExtra, QuickstudyError, RunError
from quickstudy.folders import disk_errors
from quickstudy.search.space import Among, Space, is_whole, packed, unpacked

JOURNAL = "search.journal"
#: Trials that change only some keys of the plan's recipe, before the TPE has enough to go by: in
#: ten dimensions a recipe drawn at random is hardly ever as good as one that was planned.
_NEAR = 8
_CHANGED = 3  # keys of each
_PRUNED_FROM = 4  # trials that went as far
_ENOUGH = 8  # ended trials that importance is told from
_TREES = 32  # of the forest that tells importance: seconds for a hundred trials
#: What a trial that is begun anew keeps of the one that was cut short.
_KEPT = {"rung", "again", "plan"}
#: Of a score: what the loss counts, so that of equal scores on a small val the surer one leads.
_LOSS = 0.001


def worth(score: float, loss: float) -> float:
    """Return what a trial is judged by: its score on val; among equal ones the lower loss leads.

    >>> worth(0.9, 0.2) > worth(0.9, 0.3) > worth(0.89, 0.0)
    True
    """
    return score - _LOSS * min(10.0, loss) if math.isfinite(loss) else score - 10 * _LOSS


def check_storage(storage: str | None) -> None:
    """Raise `ChoiceError` for a storage that is no URL, `MissingExtra` without Optuna."""
    if storage is not None and "://" not in storage:
        raise ChoiceError(
            f"'{storage}' is no storage.",
            "Give a URL, as sqlite:///search.db; without --storage it is a file of the folder.",
        )
    _optuna()


def secret(storage: str | None) -> bool:
    """Return whether a storage's URL holds a password, which no file of ours should keep."""
    return storage is not None and urlsplit(storage).password is not None


class Study:
    """The trials so far, and what to try next."""

    def __init__(self, folder: Path, storage: str | None, seed: int, name: str) -> None:
        optuna = _optuna()
        with _quiet(), disk_errors("the search's journal"):
            try:
                kept = storage if storage is not None else _journal(folder / JOURNAL)
                self.study = optuna.create_study(
                    storage=kept,
                    study_name=name,
                    direction="maximize",
                    load_if_exists=True,
                    pruner=optuna.pruners.PercentilePruner(50.0, n_startup_trials=_PRUNED_FROM),
                )
            except (QuickstudyError, OSError):
                raise
            except Exception as problem:  # whatever the library behind a URL raises
                line = str(problem).strip().splitlines()[0] if str(problem).strip() else ""
                raise RunError(
                    f"The storage cannot be used: {type(problem).__name__}: {line}",
                    "Check --storage, and that the library it needs is installed.",
                ) from problem
        self.optuna = optuna
        seed += len(self.trials())  # else one that goes on would draw what it has drawn before
        self.study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_NEAR)
        self.random = random.Random(seed)

    def trials(self, *states: str) -> list[Any]:
        """Return the trials in some of Optuna's states, by number; of no state: all."""
        wanted = [self.optuna.trial.TrialState[state] for state in states] or None
        return list(self.study.get_trials(deepcopy=False, states=wanted))

    def ask(self, space: Space) -> Any:
        """Return a trial to run: one that waits, else one that the TPE chooses."""
        with _quiet():
            return self.study.ask(fixed_distributions=self._distributions(space))

    def wait_for(self, params: Mapping[str, Any], **attributes: Any) -> None:
        """Let a trial with these values wait for whoever asks next."""
        given = {key: packed(value) for key, value in params.items()}
        with _quiet():
            self.study.enqueue_trial(given, user_attrs=attributes)

    def ask_first(self, space: Space, plan: Mapping[str, Any]) -> Any:
        """Return a trial to run that nobody has tried yet, in the first rung.

        The first few change some keys of the plan each, and have the others from it.
        """
        if not self.trials("WAITING"):
            rung = {"rung": 0}
            tried = sum(t.user_attrs.get("rung") == 0 for t in self.trials())
            known = self._distributions(space)
            keys = [key for key in space if key in plan and _holds(known[key], packed(plan[key]))]
            if tried <= _NEAR and keys:
                changed = {keys[(_CHANGED * tried + i) % len(keys)] for i in range(_CHANGED)}
                changed.add(self.random.choice(keys))
                self.wait_for({key: plan[key] for key in keys if key not in changed}, **rung)
            else:
                self.wait_for({}, **rung)
        return self.ask(space)

    def add(self, space: Space, params: Mapping[str, Any], attributes: Mapping[str, Any]) -> None:
        """Add a trial that has ended and was not asked for: the plan's own recipe."""
        known = self._distributions(space)
        within = {
            key: packed(value)
            for key, value in params.items()
            if key in known and _holds(known[key], packed(value))
        }
        state = self.optuna.trial.TrialState
        done = attributes.get("score") is not None
        self.study.add_trial(
            self.optuna.trial.create_trial(
                state=state.COMPLETE if done else state.FAIL,
                value=worth(attributes["score"], attributes["loss"]) if done else None,
                params=within,
                distributions={key: known[key] for key in within},
                user_attrs=dict(attributes),
            )
        )

    def tell(self, trial: Any, state: str, attributes: Mapping[str, Any]) -> None:
        """End a trial as ``COMPLETE``, ``PRUNED`` or ``FAIL``, with what is known of it."""
        value = worth(attributes["score"], attributes["loss"]) if state == "COMPLETE" else None
        try:
            for key, told in attributes.items():
                trial.set_user_attr(key, told)
            with _quiet():
                self.study.tell(trial, value, state=self.optuna.trial.TrialState[state])
        except self.optuna.exceptions.UpdateFinishedTrialError:
            return  # another process took this one for dead, and began the trial again

    def give_up(self, trial: Any) -> None:
        """End a trial whose process is no more; let one with the same values wait."""
        with _quiet():
            self.study.tell(trial.number, state=self.optuna.trial.TrialState.FAIL)
        kept = {key: value for key, value in trial.user_attrs.items() if key in _KEPT}
        self.wait_for(trial.params, **kept)

    def importances(self, space: Space) -> tuple[dict[str, float], int]:
        """Return how much each key mattered (shares of 1), and among how many trials.

        Of the short trials only: with other times scores differ for other reasons. Those pruned
        count by their score then and what others gained after: without them what is always bad
        would seem not to matter. By fANOVA (Hutter et al., 2014); empty where they are too few.
        """
        short = [t for t in self.trials("COMPLETE", "PRUNED") if t.user_attrs.get("rung") == 0]
        known = [(t, t.value if t.value is not None else self._forecast(t, short)) for t in short]
        ended = [(t, value) for t, value in known if value is not None]
        keys = [key for key in space if all(key in t.params for t, _ in ended)]
        if len(ended) < _ENOUGH or not keys or len({value for _, value in ended}) < 2:
            return {}, len(ended)
        copy = self.optuna.create_study(direction="maximize")
        with _quiet():
            for trial, value in ended:
                copy.add_trial(
                    self.optuna.trial.create_trial(
                        value=value, params=trial.params, distributions=trial.distributions
                    )
                )
            evaluator = self.optuna.importance.FanovaImportanceEvaluator(n_trees=_TREES, seed=0)
            try:
                found = self.optuna.importance.get_param_importances(
                    copy, evaluator=evaluator, params=keys
                )
            except (ValueError, RuntimeError):  # no key varied among these
                return {}, len(ended)
        return {key: float(share) for key, share in found.items()}, len(ended)

    def _forecast(self, pruned: Any, others: list[Any]) -> float | None:
        """Return what a pruned trial would have been worth, had it gained as others did."""
        if not pruned.intermediate_values:
            return None
        step, value = max(pruned.intermediate_values.items())
        gains = [
            other.value - other.intermediate_values[step]
            for other in others
            if other.value is not None and step in other.intermediate_values
        ]
        return float(value + statistics.median(gains)) if gains else None

    def _distributions(self, space: Space) -> dict[str, Any]:
        kinds = self.optuna.distributions
        made: dict[str, Any] = {}
        for key, one in space.items():
            if isinstance(one, Among):
                made[key] = kinds.CategoricalDistribution([packed(v) for v in one.values])
            elif is_whole(key):
                step = 1 if one.log or one.step is None else round(one.step)
                made[key] = kinds.IntDistribution(int(one.low), int(one.high), one.log, step)
            else:
                made[key] = kinds.FloatDistribution(one.low, one.high, one.log, one.step)
        return made


def values(space: Space, trial: Any) -> dict[str, Any]:
    """Return what a trial varies, as the recipe has it."""
    return {key: unpacked(key, trial.params[key]) for key in space if key in trial.params}


def _holds(distribution: Any, value: Any) -> bool:
    """Return whether a value is one of those that are tried; one not yet known is none."""
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (ValueError, TypeError):  # Optuna's words for a choice that is none of these
        return False


def _journal(path: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Let Optuna warn of nothing: what it calls experimental is tested here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as problem:
        raise MissingExtra("Searching recipes", "tune") from problem
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
