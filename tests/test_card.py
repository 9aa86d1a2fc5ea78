"""The model card: what hubs read is valid, what people read is from the run, nothing else leaks."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import quickstudy as qs
from quickstudy.learning import Run
from quickstudy.report import card
from quickstudy.report.markdown import plain_text
from test_report import NASTY, fixture, recordings
from test_report_tasks import labels, numbers

HOME = "/home/ann lee/secret/patients"
CALIBRATED = {
    "reliability": {"n": 300, "ece": {"value": 0.0123, "interval": [0.004, 0.031]}, "bins": []},
    "sets": {
        "n": 90,
        "measured": [
            {
                "asked": 0.95,
                "promised": 0.958,
                "share": {"value": 0.963, "interval": [0.935, 0.979]},
                "size": 1.2,
                "possible": True,
            }
        ],
    },
    "unknown": {
        "why": None,
        "test": {
            "n": 300,
            "refused": {"value": 0.047, "interval": [0.028, 0.077]},
            "answered": {"value": 0.981, "interval": [0.957, 0.992]},
        },
    },
}
PICTURES = numbers(1)
PICTURES["data"]["kind"] = "image"
REPORTS: dict[str, Any] = {
    "classes": fixture(),
    "many": fixture([f"class_{n}" for n in range(120)], each=5, blocks=1),
    "sound": recordings(),
    "numbers": numbers(2),
    "a number of pictures": PICTURES,
    "labels": labels(),
    "no test": fixture(blocks=1) | {"test": None},
    "nothing": {"schema": 2},
}


def parts(made: str) -> tuple[dict[str, Any], str]:
    """Return the front matter and the text."""
    found = re.match(r"---\n(.*?)\n---\n\n(.*)", made, re.DOTALL)
    assert found is not None
    return yaml.safe_load(found[1]), found[2]


def results(made: str) -> dict[str, Any]:
    (one,) = parts(made)[0]["model-index"]
    (only,) = one["results"]
    return {metric["name"].split(" (")[0]: metric for metric in only["metrics"]}


@pytest.mark.parametrize("name", REPORTS)
def test_hugging_face_reads_it_and_writes_the_same(name: str) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="pip install huggingface_hub")
    made = card(REPORTS[name])
    found = hub.ModelCard(made)
    data = found.data
    assert isinstance(data, hub.ModelCardData) and data.library_name == "quickstudy"
    assert data.license is None and data.language is None and data.datasets is None
    assert found.text.strip() == parts(made)[1].strip()
    assert yaml.safe_load(data.to_yaml()) == parts(made)[0]
    again = hub.ModelCard(str(found))
    assert again.data.to_dict() == data.to_dict()
    scored = "no test" not in name and name != "nothing"
    assert bool(data.eval_results) == scored
    for one in data.eval_results or ():
        assert math.isfinite(one.metric_value) and one.dataset_name and one.task_type
        assert one.dataset_split == "test" and one.verified is None


@pytest.mark.parametrize("name", REPORTS)
def test_nobodys_licence_language_or_data_set_is_claimed(name: str) -> None:
    front, text = parts(card(REPORTS[name]))
    assert not {"license", "language", "datasets", "base_model"} & set(front)
    assert "None is named here" in text


def test_the_scores_are_those_of_the_report() -> None:
    report = REPORTS["classes"]
    found, test = results(card(report)), report["test"]
    assert found["Accuracy"]["value"] == pytest.approx(test["accuracy"], rel=1e-5)
    low, high = (f"{end:.4f}" for end in test["interval"])
    assert f"95 % interval {low} to {high}, {test['n']} pictures" in found["Accuracy"]["name"]
    assert found["Macro F1"]["type"] == "f1"
    text = parts(card(report))[1]
    assert f"| accuracy | {100 * test['accuracy']:.1f} % |" in text
    assert f"{100 * test['baseline']['accuracy']:.1f}".removesuffix(".0") in text
    assert parts(card(report))[0]["pipeline_tag"] == "image-classification"


def test_scores_of_numbers_and_of_labels() -> None:
    report = REPORTS["numbers"]
    front, text = parts(card(report))
    assert front["pipeline_tag"] == "tabular-regression" and front["metrics"][0] == "r_squared"
    found = results(card(report))
    assert found["R²"]["value"] == pytest.approx(report["test"]["r2"]["value"], rel=1e-5)
    for name, one in report["test"]["targets"].items():
        metric = found[f"Mean absolute error of {name}"]
        assert metric["value"] == pytest.approx(one["mae"]["value"], rel=1e-5)
        assert f"| {plain_text(name)}: off by, on average |" in text
    # A hub has no pipeline that gives numbers of pictures: none is named, the task still is.
    front, _ = parts(card(REPORTS["a number of pictures"]))
    assert "pipeline_tag" not in front and "image-regression" in front["tags"]
    report = REPORTS["labels"]
    found = results(card(report))
    wanted = report["test"]["mean_average_precision"]["value"]
    assert found["Mean average precision"]["value"] == pytest.approx(wanted, rel=1e-5)
    assert found["Micro F1"]["type"] == "f1"
    assert "multilabel" in parts(card(report))[0]["tags"]


def test_weak_spots_come_worst_first() -> None:
    text = parts(card(REPORTS["many"]))[1]
    rows = re.findall(r"^\| class_(\d+) \| ([\d.]+) %", text.partition("## Where it is weak")[2],
                      re.MULTILINE)  # fmt: skip
    shares = [float(share) for _, share in rows[:5]]
    of = REPORTS["many"]["test"]["per_class"]
    assert shares == sorted(shares) and len(shares) == 5
    assert shares[0] == pytest.approx(100 * min(one["recall"] for one in of.values()))
    assert "and 20 more, in model.json" in text
    assert "Most often mistaken: dog taken for cat" in card(REPORTS["classes"])
    perfect = fixture(blocks=1)
    for one in perfect["test"]["per_class"].values():
        one["recall"] = 1.0
    perfect["test"]["confusion"] = [[150, 0], [0, 150]]
    assert "Most often mistaken" not in card(perfect)


def test_how_far_to_believe_it() -> None:
    text = parts(card(fixture(blocks=1) | {"calibration": CALIBRATED}))[1]
    said = "off by 1.2 % on average (expected calibration error on the test; 95 % sure: 0.4 to 3.1"
    assert said in text
    assert "hold the truth 95 % of the time (`coverage=0.95`) and promising 95.8 %" in text
    assert "they held it 96.3 % of the time on the test (95 % sure: 93.5 to 97.9 %)" in text
    assert (
        "should know, that was 4.7 % (95 % sure: 2.8 to 7.7 %)" in text
        and "answered 98.1 % correctly" in text
    )
    assert "of anything else, unless it says `unknown`" in text
    without = {"unknown": {"why": "3 examples were held out, 19 are needed"}}
    text = parts(card(fixture(blocks=1) | {"calibration": without}))[1]
    assert "cannot say `unknown`" in text and "19 are needed" in text
    assert "unless it says" not in text and "coverage=0.95" not in text
    few = json.loads(json.dumps(CALIBRATED))
    few["sets"]["measured"][0]["possible"] = False
    assert "they hold everything" in card(fixture(blocks=1) | {"calibration": few})


def test_no_folder_and_no_file_of_the_users_is_named() -> None:
    report = fixture(blocks=1) | {"source": f"{HOME}/scans", "title": "scans-1"}
    report["command"] = f"quickstudy learn '{HOME}/scans'"
    report["outcome"]["notes"] = [f"{HOME}/scans/a.jpg was odd"]
    report["data"]["notes"] = [f"{HOME} is slow"]
    report["data"]["left_out"] = [{"name": f"{HOME}/b.jpg", "reason": f"no file {HOME}/b.jpg"}]
    report["groups"] = {"examples": ["ann"], "count": 3, "field": "the 1st part"}
    report["recipe"]["network.weights"] = {"value": f"{HOME}/w.safetensors", "why": "yours"}
    report["network"]["name"] = r"C:\\Users\\ann\\net.onnx"
    made = card(report)
    assert "ann" not in made.replace("cannot", "").replace("channels", "").lower()
    assert "patients" not in made and "b.jpg" not in made
    assert "`scans`" in made and "`w.safetensors`" in made and "`net.onnx`" in made
    assert "Could not be used: 1 picture." in made
    assert "That of the weights it began with" in made


def test_where_it_does_worse_is_told_but_no_group_by_name() -> None:
    """A group is often a person."""
    sentence = "Clearly worse on {}: 61 % correct of 44 pictures (95 % sure: 46 to 74 %)."
    for by, name, called in (
        ("brightness", "the darkest quarter", "the darkest quarter by brightness"),
        ("group", "ann", "group 'ann'"),
    ):
        report = fixture(blocks=1)
        report["test"]["slices"] = {
            "worst": {"by": by, "name": name, "n": 44},
            "sentence": sentence.format(called),
        }
        text = parts(card(report))[1]
        assert "61 % correct of 44 pictures" in text
        assert ("darkest quarter by brightness: 61 %" in text) == (by == "brightness")
        assert ("worse on one of the groups: 61 %" in text) == (by == "group")
        assert "ann" not in text.replace("cannot", "").replace("channels", "")
    report["test"]["slices"]["worst"] = None
    assert "Clearly worse" not in card(report)


@pytest.mark.parametrize(
    "name", [NASTY, "a|b", "---", "a\n---\nlicense: mit\n---", "`x`", "# y", "\ud83d", "null", "1"]
)
def test_hostile_names_stay_names(name: str) -> None:
    report = fixture([name, "b"], blocks=1) | {"title": name, "source": f"/x/{name}"}
    made = card(report)
    front, text = parts(made)
    assert "license" not in front and front["model-index"][0]["name"] in (name, name[:1])
    assert "<script" not in text.replace("\\<", "")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    counts = {len(re.findall(r"(?<!\\)\|", line)) for line in lines[:5]}
    assert counts == {5}  # a name with a bar makes no cell of its own
    made.encode("utf-8", "replace")


def test_without_a_test_it_says_so() -> None:
    front, text = parts(card(REPORTS["no test"]))
    assert "model-index" not in front and "metrics" not in front
    assert "nothing is known of how good it is" in text


# The folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("rows")
    rows = "".join(f"{i},{i % 7},{2 * i},{i % 5}\n" for i in range(80))
    (folder / "things.csv").write_text(f"a,b,c,d\n{rows}")
    source, few = folder / "things.csv", {"epochs": 1}
    return qs.learn(source, target=["c", "d"], settings=few, out=folder / "run")


def test_a_run_leaves_its_card_in_the_model(run: Run) -> None:
    made = (run.folder / "model" / "README.md").read_text(encoding="utf-8")
    report = json.loads((run.folder / "report.json").read_text())
    assert made == card(report) == run.model.card
    assert results(made)["R²"]["value"] == pytest.approx(run.test.main.value, rel=1e-5)
    assert str(run.folder.parent) not in made and "`things.csv`" in made
    assert "| rows | learnt from" in made and "quickstudy predict . rows.csv" in made
    front, text = parts(made)
    assert front["pipeline_tag"] == "tabular-regression"
    assert "A row needs the columns: a, b." in text


def test_a_list_of_columns_is_one_word_of_the_command(run: Run) -> None:
    assert "--target c,d" in run.facts["command"]


def test_the_card_lives_on_and_people_may_add_to_it(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.folder / "model", tmp_path / "m")
    file = tmp_path / "m" / "README.md"
    licensed = file.read_text(encoding="utf-8").replace("---\n", "---\nlicense: mit\n", 1)
    file.write_text(licensed, encoding="utf-8")
    model = qs.load(tmp_path / "m")  # no checksum forbids it
    assert model.card == licensed
    model.save(tmp_path / "again")
    assert (tmp_path / "again" / "README.md").read_text(encoding="utf-8") == licensed
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "-c", "checksums.sha256"], cwd=tmp_path / "m", check=True,
                       capture_output=True)  # fmt: skip
    file.unlink()
    assert qs.load(tmp_path / "m").card == ""
    file.write_bytes(b"x" * 2**21)  # nobody's card
    assert qs.load(tmp_path / "m").card == ""


def test_a_model_that_no_run_made_has_a_short_card(tmp_path: Path) -> None:
    model = qs.model.untrained(("dark", "light"), size=32)
    front, text = parts((model.save(tmp_path / "m") / "README.md").read_text())
    assert front == {"library_name": "quickstudy", "tags": ["quickstudy", "pytorch"]}
    assert "- dark\n- light" in text


@pytest.mark.parametrize("name", ["classes", "numbers", "labels"])
def test_any_key_may_be_missing_or_odd(name: str) -> None:
    report = REPORTS[name]
    inside = {
        key: value
        for key, value in report.items()
        if isinstance(value, dict) and key not in ("recipe", "seconds")
    }
    made = 0
    for odd in (None, [], {}, "x", 3.5):
        for key in report:
            made += bool(parts(card(report | {key: odd})))
        for key, value in inside.items():
            for sub in value:
                made += bool(parts(card(report | {key: value | {sub: odd}})))
    assert made > 200
