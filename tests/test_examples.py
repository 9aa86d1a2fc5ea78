"""The examples in docstrings do what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import quickstudy


def test_examples_in_docstrings() -> None:
    failed = attempted = 0
    for module in pkgutil.walk_packages(quickstudy.__path__, "quickstudy."):
        if not module.name.endswith("__main__"):
            result = doctest.testmod(importlib.import_module(module.name))
            failed, attempted = failed + result.failed, attempted + result.attempted
    assert attempted > 10
    assert failed == 0
