"""Whatever reading one file raises -> an `ExampleError` with the reason, in the same words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from quickstudy.errors import ExampleError, QuickstudyError


@contextmanager
def explained(what: str, otherwise: Callable[[Exception], ExampleError]) -> Iterator[None]:
    """Explain what goes wrong inside; `what` a file should be, `otherwise` for its decoder's words.

    Decoders raise anything on damaged or hostile files: struct.error, SyntaxError, IndexError ...
    """
    try:
        yield
    except QuickstudyError:
        raise
    except FileNotFoundError as error:
        raise ExampleError("no such file", "Check the name, or take it off the list.") from error
    except PermissionError as error:
        raise ExampleError("no permission to read it", "Change the file's permissions.") from error
    except IsADirectoryError as error:
        raise ExampleError(f"a folder, not a {what}") from error
    except MemoryError as error:
        raise ExampleError("too large for this computer's memory") from error
    except Exception as error:
        raise otherwise(error) from error
