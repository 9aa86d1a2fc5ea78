"""Runtimes imported so that nothing leaves this machine: telemetry is switched off before."""

from __future__ import annotations

import importlib.util
import os
import sys
from types import ModuleType

from quickstudy.errors import MissingExtra

#: Read by onnxruntime as it is loaded: without it, from 1.29 on, it reports to its maker.
_OFF = {"ORT_DISABLE_TELEMETRY": "1"}
#: What reports for openvino and nncf; both do without it where it cannot be imported.
_REPORTER = "openvino_telemetry"
#: Library -> the extra that installs it, and the words for what needs it.
_EXTRAS = {
    "onnxruntime": ("onnx", "Running an ONNX file"),
    "openvino": ("openvino", "Running an OpenVINO file"),
    "ai_edge_litert": ("litert", "Running a LiteRT file"),
    "nncf": ("int8", "Quantising"),
}


def quietly(name: str) -> ModuleType:
    """Return a module, imported with its telemetry switched off; raises `MissingExtra`.

    The environment variable stays set, for whatever this process starts; a reporter that somebody
    has imported already is left alone.

    >>> quietly("json").dumps([1])
    '[1]'
    """
    os.environ.update(_OFF)
    if _REPORTER not in sys.modules:
        sys.modules[_REPORTER] = None  # type: ignore[assignment] # importing it now fails
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        library = name.partition(".")[0]
        extra, what = _EXTRAS.get(library, (library, f"Using {library}"))
        raise MissingExtra(what, extra) from problem


def installed(name: str) -> bool:
    """Whether a library is there to be imported; it is not imported.

    >>> installed("json"), installed("no_such_library")
    (True, False)
    """
    return importlib.util.find_spec(name) is not None
