"""A request's body -> the examples in it: files of a form, JSON, or the bytes of one file.

Nothing is written to a disk, and no name that a client gives opens anything.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from typing import Any

from quickstudy.serving.limits import Limits
from quickstudy.serving.refusing import Refused

_RAW = ("image/", "audio/", "video/ogg", "application/octet-stream", "application/ogg")
_FIELDS = ("files", "file")
_MARKS = 20_000  # commas and brackets of a JSON document: what its objects are made from
_MARKS_OF_ROWS = 1_000_000
_LONGEST_NAME = 255
_LONGEST_WORD = 1_000  # of a column or an option: likely names are looked for, slowly where long
_MOST = 1e300  # of a number in a row
_HOW = (
    "Send files as multipart/form-data (field files), JSON "
    '({"examples": [{"base64": "..."}]}), or the bytes of one file.'
)


@dataclass(frozen=True)
class Given:
    """What a request asks about."""

    names: Sequence[str]
    raw: Sequence[Any]
    """Bytes of files; or rows, mappings of columns to cells."""
    many: bool
    """Whether a list was given, though it be of one."""
    options: Mapping[str, Any]
    """What a JSON document says beside its examples."""


def given_in(body: bytes | bytearray, content_type: str, kind: str, limits: Limits) -> Given:
    """Return the examples in a body; raises `Refused`."""
    sort = content_type.partition(";")[0].strip().lower()
    if sort == "application/json" or sort.endswith("+json"):
        return _of_json(body, kind, limits)
    if kind == "table":
        raise Refused(
            415, "type", f"This model takes rows as JSON, not {sort[:80] or 'bytes'}.",
            'Send {"rows": [{"column": value}]} with Content-Type: application/json.',
        )  # fmt: skip
    if sort == "multipart/form-data":
        head = Message()
        head["Content-Type"] = content_type[:1000]
        return _of_form(body, head.get_param("boundary"), limits)
    if not sort.startswith(_RAW):
        raise Refused(415, "type", f"A body of type {sort[:80] or 'unknown'} is not read.", _HOW)
    if not body:
        raise Refused(422, "empty", "The body is empty.", _HOW)
    return Given(["upload"], [bytes(body)], False, {})


def _of_form(body: bytes | bytearray, boundary: Any, limits: Limits) -> Given:
    if not isinstance(boundary, str) or not boundary:
        raise Refused(400, "form", "The form has no boundary.", _HOW)
    names, raw = _parts(body, boundary, limits)
    if not raw:
        raise Refused(422, "empty", "The form has no file in its field files.", _HOW)
    return Given(names, raw, len(raw) > 1, {})


def _parts(body: bytes | bytearray, boundary: str, limits: Limits) -> tuple[list[str], list[bytes]]:
    """Return names and contents of a form's files."""
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it is told to who sent it
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser

    names: list[str] = []
    raw: list[bytes] = []
    header: list[bytearray] = [bytearray(), bytearray()]
    told: dict[str, str] = {}
    content: list[bytes] = []
    ended: list[bool] = []

    def begin() -> None:
        told.clear()
        content.clear()
        if len(raw) >= limits.files:
            raise Refused(
                413, "files", f"More than {limits.files} files in a request.", "Send fewer at once."
            )

    def header_end() -> None:
        told[header[0].decode("latin-1").lower()] = header[1].decode("utf-8", "replace")
        header[:] = bytearray(), bytearray()

    def part_end() -> None:
        field, name = _named(told.get("content-disposition", ""))
        if field not in _FIELDS:
            raise Refused(422, "form", f"The form has a field {field[:40]!r}, not files.", _HOW)
        raw.append(content[0] if len(content) == 1 else b"".join(content))
        names.append(_plain(name) or f"upload {len(names)}")

    callbacks: Any = {
        "on_part_begin": begin,
        "on_header_field": lambda data, start, stop: header[0].extend(data[start:stop]),
        "on_header_value": lambda data, start, stop: header[1].extend(data[start:stop]),
        "on_header_end": header_end,
        "on_part_data": lambda data, start, stop: content.append(bytes(data[start:stop])),
        "on_part_end": part_end,
        "on_end": lambda: ended.append(True),
    }
    try:
        parser = MultipartParser(boundary, callbacks, max_header_count=16, max_header_size=4096)
        parser.write(bytes(body))
        parser.finalize()
    except (FormParserError, ValueError) as problem:
        raise Refused(400, "form", f"The form cannot be read: {str(problem)[:200]}", _HOW) from None
    if not ended:
        raise Refused(400, "form", "The form is cut short.", _HOW)
    return names, raw


def _named(disposition: str) -> tuple[str, str]:
    """Return the field and the file's name of a part, without the folders some clients send."""
    head = Message()
    head["Content-Disposition"] = disposition.replace("\n", " ").replace("\r", " ")
    field = head.get_param("name", "", header="content-disposition")
    name = head.get_filename("") or ""
    return str(field), name.replace("\\", "/").rpartition("/")[2]


def _of_json(body: bytes | bytearray, kind: str, limits: Limits) -> Given:
    said = _document(body, _MARKS_OF_ROWS if kind == "table" else _MARKS)
    key, most = ("rows", limits.rows) if kind == "table" else ("examples", limits.files)
    found = said.get(key)
    if not isinstance(found, list) or not found:
        raise Refused(422, "json", f'The document has no list "{key}".', _hint(kind))
    if len(found) > most:
        raise Refused(413, "files", f"More than {most:,} {key} in a request.", "Send fewer.")
    options: dict[str, Any] = {name: said[name] for name in ("coverage", "of") if name in said}
    for name, value in options.items():
        if value is not None and not isinstance(value, str | int | float):
            raise Refused(422, "option", f"{name} is neither a number nor a text.")
        if isinstance(value, str) and len(value) > _LONGEST_WORD:
            raise Refused(422, "option", f"{name} has more than {_LONGEST_WORD:,} characters.")
    if kind == "table":
        rows = [_row(one, number) for number, one in enumerate(found)]
        return Given([f"row {n}" for n in range(len(rows))], rows, len(rows) > 1, options)
    files = [_example(one, number) for number, one in enumerate(found)]
    return Given([n for n, _ in files], [b for _, b in files], len(files) > 1, options)


def _document(body: bytes | bytearray, most: int) -> dict[str, Any]:
    """Return a JSON object; of one that would become far larger than its text nothing is made."""
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > most:
        raise Refused(413, "json", "The JSON document has too many parts.", "Send fewer examples.")
    try:
        said = json.loads(body, parse_constant=_no_number)
    except RecursionError:
        raise Refused(400, "json", "The JSON document is nested too deeply.") from None
    except ValueError as problem:  # also what is not UTF-8, and a number of thousands of digits
        raise Refused(400, "json", f"The JSON cannot be read: {str(problem)[:200]}") from None
    if not isinstance(said, dict):
        raise Refused(422, "json", "The JSON document is no object.", _HOW)
    return said


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no JSON number")


def _example(one: Any, number: int) -> tuple[str, bytes]:
    text = one.get("base64") if isinstance(one, dict) else None
    if not isinstance(text, str):
        raise Refused(422, "json", f'Example {number} has no text "base64".', _hint("image"))
    name = one.get("name")
    name = name if isinstance(name, str) and name else f"example {number}"
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as problem:
        said = f"Example {number} is no base64: {str(problem)[:100]}."
        raise Refused(422, "base64", said) from None
    return _plain(name), raw


def _plain(name: str) -> str:
    """Return a name that every encoder takes."""
    return name[:_LONGEST_NAME].encode("utf-8", "replace").decode()


def _row(one: Any, number: int) -> dict[str, Any]:
    if not isinstance(one, dict):
        raise Refused(422, "json", f"Row {number} is no object.", _hint("table"))
    for name, cell in one.items():
        if len(name) > _LONGEST_WORD:
            said = f"Row {number}: a column's name has more than {_LONGEST_WORD:,} characters."
            raise Refused(422, "json", said, _hint("table"))
        fine = (
            abs(cell) <= _MOST
            if isinstance(cell, int | float)
            else (cell is None or isinstance(cell, str))
        )
        if not fine:
            said = f"Row {number}: {name[:40]!r} is neither a number nor a text."
            raise Refused(422, "json", said, _hint("table"))
    return one


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) and abs(cell) <= _MOST


def _hint(kind: str) -> str:
    if kind == "table":
        return 'As {"rows": [{"column": 1.5, "another": "word"}]}.'
    return 'As {"examples": [{"base64": "...", "name": "optional"}]}.'
