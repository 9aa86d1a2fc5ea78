"""Arguments in, words out. Data goes to stdout, everything said on the way to stderr.

Nothing heavy is imported before a command runs: `--help` must answer at once.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from quickstudy import __version__, options
from quickstudy.errors import QuickstudyError, did_you_mean

COMMANDS = (
    *("demo", "check", "learn", "tune", "predict", "explain", "evaluate", "compare", "script"),
    *("export", "bench", "serve", "networks", "pack"),
)


class _Parser(argparse.ArgumentParser):
    """argparse, with our words for a mistake: what is wrong, then how to mend it."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting."""
        raise QuickstudyError(f"{message[:1].upper()}{message[1:]}.", f"See: {self.prog} --help")

    def unknown(self, words: Sequence[str]) -> QuickstudyError:
        """Return the error for words that no option or place takes."""
        word = next((w for w in words if w.startswith("-")), words[0]).split("=")[0]
        what = "option" if word.startswith("-") else "place for the word"
        return QuickstudyError(
            f"{self.prog} has no {what} '{word}'.",
            did_you_mean(word, self._option_string_actions) or f"See: {self.prog} --help",
        )


def parser() -> _Parser:
    """Return the command line's grammar."""
    top = _Parser(
        prog="quickstudy",
        description="Point it at labelled pictures, sounds or tables: it trains a network within a "
        "time budget, says honestly how good it is, and hands over a model.",
        epilog="Begin with: quickstudy demo",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"quickstudy {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name in COMMANDS:
        getattr(options, name)(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code: 0 done, 1 predict met bad files, 2 a mistake."""
    started = time.perf_counter()
    words = list(sys.argv[1:] if arguments is None else arguments)
    from quickstudy import commands

    try:
        if words and not words[0].startswith("-") and words[0] not in COMMANDS:
            raise QuickstudyError(
                f"There is no command '{words[0]}'.",
                did_you_mean(words[0], COMMANDS) or "Commands: " + ", ".join(COMMANDS) + ".",
            )
        grammar = parser()
        asked, extra = grammar.parse_known_args(words)
        if extra:
            raise getattr(asked, "grammar", grammar).unknown(extra)
        if asked.command is None:
            grammar.print_help()
            return 0
        done: int = getattr(commands, asked.command)(asked, started)
        return done
    except QuickstudyError as problem:
        return commands.fail(problem, "--json" in words)
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped.\n")
        return 130
    except BrokenPipeError:  # the reader of our output has gone: `quickstudy networks | head`
        sys.stderr.close()
        return 141


if __name__ == "__main__":
    raise SystemExit(main())
