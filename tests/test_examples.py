"""The examples in docstrings do what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import quickstudy


def test_examples_in_docstrings() -> None:
    failed = attempted = 0
    for module in pkgutil.walk_packages(quickstudy.__path__, "quickstudy."):
        if module.name.endswith("__main__"):
            continue
        try:
            found = importlib.import_module(module.name)
        except ModuleNotFoundError as missing:
            assert missing.name == "ray"  # an extra: one room is of classes of its own
            continue
        result = doctest.testmod(found)
        failed, attempted = failed + result.failed, attempted + result.attempted
    assert attempted > 10
    assert failed == 0
