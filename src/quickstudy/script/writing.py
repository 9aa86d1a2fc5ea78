"""Templates of pieces of a script: `$name` is filled in, and what is not used is left out.

A line ``#: if this and not that`` begins lines that are written only then, ``#: end`` ends them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from string import Template
from typing import Any

#: What a script may import, in the order that it is written in: the name used, the line.
_STANDARD = (
    ("csv", "import csv"),
    ("json", "import json"),
    ("math", "import math"),
    ("re", "import re"),
    ("sys", "import sys"),
    ("tempfile", "import tempfile"),
    ("OrderedDict", "from collections import OrderedDict"),
    ("ThreadPoolExecutor", "from concurrent.futures import ThreadPoolExecutor"),
    ("datetime", "from datetime import datetime, timedelta"),
    ("Path", "from pathlib import Path"),
)
_OTHERS = (
    ("np", "import numpy as np"),
    ("soundfile", "import soundfile"),
    ("timm", "import timm"),
    ("torch", "import torch"),
    ("torchvision", "import torchvision"),
    ("load_file", "from safetensors.torch import load_file"),
    ("nn", "from torch import nn"),
    ("F", "from torch.nn import functional as F"),
)


def filled(template: str, uses: Mapping[str, Any], **values: Any) -> str:
    """Return a template with its values, without the lines for what `uses` says is not used.

    >>> filled("a = $a\\n#: if not b\\nc = 1\\n#: end", {"b": True}, a=2)
    'a = 2'
    """
    kept, writes = [], True
    for line in template.strip("\n").splitlines():
        if line.startswith("#: "):
            words = line.removeprefix("#: ").removeprefix("if ").split(" and ")
            writes = words == ["end"] or all(_holds(word, uses) for word in words)
        elif writes:
            kept.append(line)
    return Template("\n".join(kept)).substitute(values)


def _holds(word: str, uses: Mapping[str, Any]) -> bool:
    name = word.removeprefix("not ")
    return bool(uses[name]) != word.startswith("not ")


def imports_of(body: str) -> str:
    """Return the import lines for all that `body` names, as isort sorts them."""
    standard = [line for name, line in _STANDARD if _named(name, body)]
    others = [line for name, line in _OTHERS if _named(name, body)]
    pillow = [name for name in ("Image", "ImageOps") if _named(name, body)]
    if pillow:
        first = next(i for i, line in enumerate(others) if line.startswith("from "))
        others.insert(first, f"from PIL import {', '.join(pillow)}")
    return "\n".join([*standard, "", *others])


def _named(name: str, body: str) -> bool:
    """Whether the code in `body` uses a name; words in comments and docstrings do not count."""
    code = re.sub(r'"[^"\n]*"|#.*', "", body)
    return re.search(rf"(?<![\w.]){name}\b(?=[.(])", code) is not None


def number(value: float) -> str:
    """Return a number as a person would write it, to 6 digits.

    >>> number(0.1 + 0.2), number(25.0), number(1e-5)
    ('0.3', '25', '1e-05')
    """
    return f"{value:.6g}"


def quoted_text(text: str) -> str:
    """Return text as Python writes it, in double quotes where nothing in it is odd.

    >>> print(quoted_text('a "b"'))
    "a \\"b\\""
    """
    return json.dumps(text, ensure_ascii=False) if text.isprintable() else ascii(text)
