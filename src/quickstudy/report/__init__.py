"""report.json -> report.html: one calm, self-contained page. Formatting only.

The page computes nothing that the dict does not say; it draws, sorts and words it. It runs no
script and loads nothing: its own content-security policy forbids both. `docs/report.md` explains
every key.
"""

from __future__ import annotations

from quickstudy.report.card import card
from quickstudy.report.checked import check_page
from quickstudy.report.compared import compare_page
from quickstudy.report.files import write
from quickstudy.report.layout import page
from quickstudy.report.reading import SCHEMA

__all__ = ["SCHEMA", "card", "check_page", "compare_page", "page", "write"]
