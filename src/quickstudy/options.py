"""The options of each command, in the order of `--help`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

#: As in `quickstudy.kinds`, which loads what `--help` does without; a test compares.
KINDS = ("image", "sound", "table")
TASKS = ("classification", "multilabel", "regression")

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _command(commands: Commands, name: str, what: str, example: str) -> argparse.ArgumentParser:
    made = commands.add_parser(
        name, help=what, description=what, epilog=f"Example: {example}", allow_abbrev=False
    )
    made.set_defaults(grammar=made)
    made.add_argument("--json", action="store_true", help="one JSON document on stdout, no words")
    return made


def demo(commands: Commands) -> None:
    """Add the options of ``quickstudy demo``."""
    made = _command(
        commands, "demo", "Learn handwritten digits, or sounds: the whole of `learn`, in a minute.",
        "quickstudy demo --kind sound",
    )  # fmt: skip
    made.add_argument("--kind", choices=KINDS, default="image",
                      help="image: handwritten digits; sound: synthesised instruments; "
                      "table: 569 tumours in 30 numbers")  # fmt: skip
    made.add_argument("--out", metavar="DIR", type=Path, help="the run's folder")


def learn(commands: Commands) -> None:
    """Add the options of ``quickstudy learn``."""
    made = _command(
        commands, "learn", "Learn from labelled pictures, sounds or rows of a table.",
        "quickstudy learn cats_and_dogs/ --budget 10m",
    )  # fmt: skip
    made.add_argument("--budget", metavar="TIME", help="90s, 10m, 2h: for all of it (default 10m)")
    _learning(made)
    made.add_argument("--resume", metavar="RUN", help="go on with a run that was cut short")
    made.add_argument("--track", metavar="NAME[,NAME]",
                      help="follow it in tensorboard, mlflow, wandb; model: copied")  # fmt: skip


def tune(commands: Commands) -> None:
    """Add the options of ``quickstudy tune``."""
    made = _command(
        commands, "tune", "Search for a better recipe than the plan's, then learn by it.",
        "quickstudy tune cats_and_dogs/ --budget 2h",
    )  # fmt: skip
    made.add_argument("--budget", metavar="TIME",
                      help="for all of it (default 1h); half is for trials")  # fmt: skip
    made.add_argument("--space", metavar="FILE", help="YAML: 'optimizer.lr: {low: 0.0001, high: "
                      "0.1, log: true}', 'augment.mixup: [0, 0.2]'")  # fmt: skip
    made.add_argument("--trials", metavar="N", type=int, help="recipes to try, at most")
    made.add_argument("--storage", metavar="URL", help="Optuna's, as sqlite:///search.db (default: "
                      "a file of the run's folder)")  # fmt: skip
    made.add_argument("--ensemble", action="store_true",
                      help="ship the best few as one model, if val says it pays")  # fmt: skip
    made.add_argument("--distil", action="store_true",
                      help="have the best few teach one network")  # fmt: skip
    made.add_argument("--join", metavar="RUN", help="run trials of a search that is under way")
    made.add_argument("--resume", metavar="RUN", help="go on with a search that was stopped")
    _learning(made)


def _learning(made: argparse.ArgumentParser) -> None:
    """Add what is learnt from, and what somebody may choose: of `learn` and of `tune`."""
    made.add_argument("source", nargs="?", metavar="SOURCE",
                      help="a folder with a folder per class, a CSV or Parquet table of paths and "
                      "labels or of the examples themselves, a .zip or .tar, or shards: a folder "
                      "or an address, as s3://bucket/shards/")  # fmt: skip
    made.add_argument("--test", metavar="SOURCE", help="test on these examples")
    made.add_argument("--network", metavar="NAME",
                      help="any that `quickstudy networks` lists, a stack (FILE.yaml), FILE.onnx, "
                      "or for tables a formula: 'm*x + c'")  # fmt: skip
    made.add_argument("--weights", metavar="FILE|none", help="start from these, or from nothing")
    made.add_argument("--loss", metavar="NAME",
                      help="cross_entropy, focal, huber, ..., or an expression: "
                      "'mean(-(1 - p)**g * log(p)), g=2'")  # fmt: skip
    made.add_argument("--optimizer", metavar="NAME", help="muon, adamw, sgd, lion, lbfgs, ...")
    made.add_argument("--set", metavar="KEY=VALUE", nargs="+", action="extend", default=[],
                      help="overrule any choice: epochs=20 optimizer.lr=0.01")  # fmt: skip
    made.add_argument("--recipe", metavar="FILE|NAME", help="overrule with the lines of a "
                      "recipe.yaml, or a published one (`--recipe help`: a list)")  # fmt: skip
    made.add_argument("--out", metavar="DIR", help="the run's folder (default runs/NAME-1, ...)")
    made.add_argument("--seed", metavar="N", type=int, help="another split and start (default 0)")
    made.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps")
    made.add_argument("--on", metavar="CLUSTER",
                      help="run on Ray: ray, ray?workers=1-8, ray://HOST:PORT (learn)")  # fmt: skip
    _examples(made)


def pack(commands: Commands) -> None:
    """Add the options of ``quickstudy pack``."""
    made = _command(
        commands, "pack", "Write examples as shards, to learn from where no disk holds them all.",
        "quickstudy pack cats_and_dogs/ shards/",
    )  # fmt: skip
    made.add_argument("source", metavar="SOURCE", help="as for learn")
    made.add_argument("folder", metavar="FOLDER", help="for the shards; one begun is gone on with")
    made.add_argument("--size", metavar="SIZE", default="256MB", help="of a shard (default 256MB)")
    made.add_argument("--seed", metavar="N", type=int, default=0,
                      help="of the order of the examples (default 0)")  # fmt: skip
    _examples(made)


def check(commands: Commands) -> None:
    """Add the options of ``quickstudy check``."""
    made = _command(
        commands, "check", "Say what is wrong with examples, before anything is learnt from them.",
        "quickstudy check cats_and_dogs/",
    )  # fmt: skip
    made.add_argument("source", metavar="SOURCE", help="as for learn")
    made.add_argument("--test", metavar="SOURCE", help="what will be tested on, for leaks")
    made.add_argument("--strict", action="store_true", help="exit code 1 for more than notes")
    made.add_argument("--weights", metavar="FILE|none",
                      help="doubt the labels of pictures with these, or not at all")  # fmt: skip
    made.add_argument("--apply", metavar="OUT.csv",
                      help="write a cleaned table to learn from; your files stay")  # fmt: skip
    made.add_argument("--out", metavar="DIR", help="for check.html and check.csv "
                      "(default runs/NAME-check-1, ...)")  # fmt: skip
    _examples(made)


def _examples(made: argparse.ArgumentParser) -> None:
    """Add what the examples are, and where their labels and groups stand."""
    made.add_argument("--kind", choices=KINDS, help="what the examples are (found out by itself)")
    made.add_argument("--task", choices=TASKS, help="what is asked (found out by itself)")
    _columns(made)
    _names(made)


def _columns(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("columns of a table (guessed where not named)")
    for name, what in (
        ("path", "where each file is"),
        ("label", "its class"),
        ("split", "train, val or test"),
        ("group", "examples to keep on one side of the split"),
    ):
        group.add_argument(f"--{name}-column", metavar="NAME", help=what)


def _names(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("labels and groups from columns or file names")
    group.add_argument("--label-from", metavar="PATTERN",
                       help="the label stands in the name, as '{digit}_{speaker}_{n}'")  # fmt: skip
    group.add_argument("--target", metavar="NAME",
                       help="what to learn: a column, several ('a,b'), or a field")  # fmt: skip
    group.add_argument("--group-from", metavar="PATTERN",
                       help="as '{label}_{group}_{n}': a group stays on one side")  # fmt: skip


def predict(commands: Commands) -> None:
    """Add the options of ``quickstudy predict``."""
    made = _command(
        commands, "predict", "Say what pictures show, what is heard and when, or what rows mean.",
        "quickstudy predict runs/cats_and_dogs-1/model photo.jpg holiday/ '*.png'",
    )  # fmt: skip
    made.add_argument("model", metavar="MODEL", help="a model's folder")
    made.add_argument("files", metavar="FILE", nargs="+", help="files, folders, patterns")
    made.add_argument(
        "--coverage",
        metavar="SHARE",
        type=float,
        help="0.95: also the labels, or the range, that hold the truth as often",
    )
    made.add_argument("--csv", action="store_true", help="CSV on stdout")
    made.add_argument("--device", metavar="NAME", help="cpu, cuda, mps")
    _runtime(made)


def _runtime(made: argparse.ArgumentParser) -> None:
    made.add_argument("--runtime", metavar="NAME", help="torch, or one of the model's exports, as "
                      "onnx (default: the quickest that answers the same)")  # fmt: skip


def explain(commands: Commands) -> None:
    """Add the options of ``quickstudy explain``."""
    made = _command(
        commands, "explain", "Show why: where a model looked, and the like it has learnt from.",
        "quickstudy explain runs/cats_and_dogs-1/model photo.jpg",
    )  # fmt: skip
    made.add_argument("model", metavar="MODEL", help="a model's folder")
    made.add_argument("file", metavar="FILE", help="one example's file, or a table")
    made.add_argument("--of", metavar="NAME", help="explain this answer, not the likeliest")
    made.add_argument("--row", metavar="N", type=int, default=0,
                      help="of a table, from 0 (default 0)")  # fmt: skip
    made.add_argument("--run", metavar="RUN", help="a run's folder, where the training examples "
                      "are named (default: the one that the model is in)")  # fmt: skip
    made.add_argument("--out", metavar="FILE", help="a page, or the picture alone: .html, .png "
                      "(default NAME-explained.html)")  # fmt: skip
    made.add_argument("--device", metavar="NAME", help="cpu, cuda, mps")


def evaluate(commands: Commands) -> None:
    """Add the options of ``quickstudy evaluate``."""
    made = _command(
        commands, "evaluate", "Score a model on labelled examples.",
        "quickstudy evaluate runs/cats_and_dogs-1/model more_photos/",
    )  # fmt: skip
    made.add_argument("model", metavar="MODEL", help="a model's folder")
    made.add_argument("source", metavar="SOURCE", help="as for learn")
    made.add_argument("--device", metavar="NAME", help="cpu, cuda, mps")
    _runtime(made)
    _columns(made)
    _names(made)


def compare(commands: Commands) -> None:
    """Add the options of ``quickstudy compare``."""
    made = _command(
        commands, "compare", "Say which of two runs is better, on the same test examples.",
        "quickstudy compare runs/cats_and_dogs-1 runs/cats_and_dogs-2",
    )  # fmt: skip
    made.add_argument("first", metavar="RUN", help="a run's folder: what the other is held against")
    made.add_argument("second", metavar="RUN", help="another's, with the same test examples")
    made.add_argument("--out", metavar="FILE", help="the page (default compare.html)")


def script(commands: Commands) -> None:
    """Add the options of ``quickstudy script``."""
    made = _command(
        commands, "script", "Write a run out as one plain PyTorch file that repeats it.",
        "quickstudy script runs/cats_and_dogs-1",
    )  # fmt: skip
    made.add_argument("run", metavar="RUN", help="a run's folder")
    made.add_argument("--out", metavar="FILE", help="the file (default RUN/train.py)")


def export(commands: Commands) -> None:
    """Add the options of ``quickstudy export``."""
    made = _command(
        commands, "export", "Write a model for another runtime; it answers the same, or fails.",
        "quickstudy export runs/cats_and_dogs-1/model --to onnx",
    )  # fmt: skip
    made.add_argument("model", metavar="MODEL", help="a model's folder")
    made.add_argument("--to", metavar="FORMAT[,FORMAT]", required=True,
                      help="onnx, pt2, native, ...: files that take pixels or samples as they "
                      "are; script, hub, docker: folders")  # fmt: skip
    made.add_argument("--out", metavar="DIR", help="default: exports in the model's folder, where "
                      "predict finds the quickest")  # fmt: skip
    made.add_argument("--examples", metavar="FOLDER", help="compare the answers on these "
                      "(default: on what the model was tested on)")  # fmt: skip
    made.add_argument("--install-tools", action="store_true", help="litert: make an environment of "
                      "their own for its tools (several GB)")  # fmt: skip
    made.add_argument("--int8", action="store_true", help="onnx in 8-bit integers as well: smaller "
                      "and quicker, kept where it is nearly as good")  # fmt: skip
    made.add_argument("--max-loss", metavar="POINTS", type=float, default=0.5,
                      help="that the score on val may fall by (default 0.5)")  # fmt: skip


def bench(commands: Commands) -> None:
    """Add the options of ``quickstudy bench``."""
    made = _command(
        commands, "bench", "Time a model on this machine, in torch and in each of its exports.",
        "quickstudy bench runs/cats_and_dogs-1/model --make",
    )  # fmt: skip
    made.add_argument("model", metavar="MODEL", help="a model's folder")
    made.add_argument("--make", action="store_true", help="first export what is lacking, in every "
                      "format that runs here")  # fmt: skip
    made.add_argument("--code", action="store_true", help="also pt2 and native, whose files may "
                      "hold code: for models of your own")  # fmt: skip


def serve(commands: Commands) -> None:
    """Add the options of ``quickstudy serve``."""
    made = _command(
        commands, "serve", "Answer over HTTP, with a page to ask by hand.",
        "quickstudy serve runs/cats_and_dogs-1/model",
    )  # fmt: skip
    made.add_argument("models", metavar="MODEL", nargs="+", help="models' folders")
    made.add_argument("--host", metavar="NAME", default="127.0.0.1",
                      help="where to listen (default 127.0.0.1: this machine alone)")  # fmt: skip
    made.add_argument("--port", metavar="N", type=int, default=8000, help="0: any that is free")
    made.add_argument("--token", metavar="TEXT", help="what others must send ($QUICKSTUDY_TOKEN)")
    made.add_argument("--no-token", action="store_true", help="let anybody ask, wherever they are")
    made.add_argument("--max-upload", metavar="SIZE", help="of a request (default 32M)")
    made.add_argument("--max-pixels", metavar="N", type=int, help="of a picture (default 50000000)")
    made.add_argument("--max-seconds", metavar="N", type=float, help="of sound (default 600)")
    made.add_argument("--timeout", metavar="N", type=float, help="seconds to answer (default 30)")


def networks(commands: Commands) -> None:
    """Add the options of ``quickstudy networks``."""
    made = _command(
        commands, "networks", "List the networks: parameters, FLOPs, whether weights are at hand.",
        "quickstudy networks 'resnet*'",
    )  # fmt: skip
    made.add_argument("pattern", metavar="PATTERN", nargs="?", default="*",
                      help="part of a name, or a pattern with * and ?")  # fmt: skip
