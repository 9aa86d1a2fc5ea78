"""PLACEHOLDER by the lead so that imports work: overwrite this file."""
from dataclasses import dataclass
from typing import Any, ClassVar
@dataclass(frozen=True)
class TableFacts:
    kind: ClassVar[str] = "table"
def summed_up(columns: Any, looks: Any) -> TableFacts:
    return TableFacts()
