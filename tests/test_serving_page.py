"""The page of `quickstudy serve` in a real browser. Oracles: `Model.predict`, csv, Pillow, axe."""

from __future__ import annotations

import base64
import csv
import io
import json
import queue
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from conftest import draw
from quickstudy import tasks
from quickstudy.calibration import Calibration, Detector, Energy
from quickstudy.kinds import restored
from quickstudy.kinds.table.columns import Column, described
from quickstudy.model import Model, load
from quickstudy.network import Spec, build
from quickstudy.serving import Place, Ready, serve

pytest.importorskip("playwright", reason="the page is tested where Playwright is installed")
pytest.importorskip("uvicorn", reason="the page is tested where the extra `serve` is installed")

from playwright.sync_api import Browser, Page, Request, Route, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium"),
]

CLASSES = ("cross", "disc", "square", "ring", "star", "wave", "<b>bold</b>")
COLUMNS = [
    Column("length", "number"),
    Column("day", "date"),
    Column("colour", "category", ("red", "green")),
    Column("town", "category", tuple(f"town {n}" for n in range(40))),
]
TONE = 700  # hertz, of what the microphone hears
PERCENT = "\u00a0%"


# What is served ----------------------------------------------------------------------------------


def pictures(calibration: Calibration = Calibration()) -> Model:  # noqa: B008 - frozen
    torch.manual_seed(0)
    spec = Spec("compact", len(CLASSES), 32)
    kept = {"decode_size": 32, "size": 32, "fit": "squash", "mirror": False, "mean": (0.5,) * 3}
    how = restored("image", {**kept, "std": (0.25,) * 3})
    facts = {"result": "81.0 % correct on 60 pictures it never saw."}
    return Model(build(spec).module, spec, tasks.Classification(CLASSES), how, facts, calibration)


def sounds() -> Model:
    torch.manual_seed(1)
    spectra = {"rate": 8000, "fft": 256, "hop": 80, "mels": 32, "low": 20.0, "high": 4000.0}
    spec = Spec("compact", 3, 4000, sound=spectra)
    how = restored("sound", {"rate": 8000, "size": 4000, "span": 2000, "long": 12_000})
    return Model(build(spec).module, spec, tasks.Classification(("low", "mid", "high")), how)


def rows() -> Model:
    torch.manual_seed(2)
    spec = Spec("tabm", 3, 1, table={**described(COLUMNS), "members": 2, "bins": 3})
    how = restored("table", {"columns": [column.as_dict() for column in COLUMNS]})
    return Model(build(spec).module, spec, tasks.Classification(("a", "b", "c")), how)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("served")
    strict = Calibration(None, Detector(Energy(), -1e9, "head"))
    models = {"shapes": pictures(), "strict": pictures(strict), "tones": sounds(), "rows": rows()}
    return {name: model.save(root / name) for name, model in models.items()}


@pytest.fixture(scope="module")
def server(folders: dict[str, Path]) -> Iterator[str]:
    """The address of a server in a thread."""
    began: queue.Queue[Ready] = queue.Queue()
    thread = threading.Thread(
        target=serve, args=(list(folders.values()), Place(port=0)), kwargs={"ready": began.put}
    )
    thread.start()
    ready = began.get(timeout=120)
    yield ready.url
    ready.stop()
    thread.join(30)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def asked(folders: dict[str, Path]) -> Callable[[str, Any], Any]:
    """What the models say without any server."""
    models = {name: load(folder) for name, folder in folders.items()}
    return lambda name, what: models[name].predict(what)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("given")
    for number, label in enumerate(("cross", "disc", "square")):
        draw(label, number, 96).save(root / f"{label}.png")
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    Image.fromarray(noise).resize((4000, 3000)).save(root / "large.jpg", quality=80)
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    t = np.arange(4 * 8000) / 8000
    wave = np.where(t < 2, 0.5 * np.sin(2 * np.pi * 300 * t), 0.0)
    soundfile.write(root / "long.wav", wave.astype(np.float32), 8000)
    lines = ["length;day;colour;town;more", '1.5;2026-01-31;red;"town 3";x', ";;;nowhere;"]
    (root / "rows.csv").write_text("\n".join(lines) + "\n")
    return root


# The browser -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    heard = tmp_path_factory.mktemp("microphone") / "tone.wav"
    t = np.arange(48_000) / 48_000
    soundfile.write(
        heard, (0.4 * np.sin(2 * np.pi * TONE * t)).astype(np.float32), 48_000, "PCM_16"
    )
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", *fake, f"--use-file-for-fake-audio-capture={heard}"],
        )
        yield found
        found.close()


# Playwright tells what was sent, but not the files in it; nor what a page was lent.
KEEP = """
const devices = navigator.mediaDevices, lend = devices.getUserMedia.bind(devices);
window.lent = [];
devices.getUserMedia = async (wanted) => {
  const stream = await lend(wanted);
  window.lent.push(...stream.getTracks());
  return stream;
};
const send = XMLHttpRequest.prototype.send;
window.sent = [];
XMLHttpRequest.prototype.send = function (body) {
  if (body instanceof FormData) window.sent.push(...body.getAll("files"));
  return send.call(this, body);
};
"""
READ_FILES = """
() => Promise.all(window.sent.map((file) => new Promise((done) => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result.split(",")[1]);
  reader.readAsDataURL(file);
})))
"""


class Visit:
    """A page, and all it asked for and complained about."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.requests: list[Request] = []
        self.complaints: list[str] = []
        page.add_init_script(KEEP)
        page.on("request", lambda request: self.requests.append(request))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self._hear(said.type, said.text))

    def _hear(self, kind: str, text: str) -> None:
        # a browser complains of every answer from 400 on, whatever the page makes of it
        if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
            self.complaints.append(text)

    def open(self, model: str = "shapes", path: str = "/") -> Visit:
        self.page.goto(self.url + path)
        expect(self.page.locator("#give")).to_be_visible()
        if model != "shapes":
            self.page.select_option("#model", model)
        return self

    def pick(self, *files: Path) -> Visit:
        self.page.set_input_files("#file", [str(file) for file in files])
        return self

    def answered(self) -> Visit:
        expect(self.page.locator("#answer")).to_be_visible(timeout=20_000)
        expect(self.page.locator("[aria-busy]")).to_have_count(0, timeout=20_000)
        return self

    def text(self, place: str) -> str:
        return self.page.locator(place).first.inner_text()

    def files(self) -> list[bytes]:
        """What was sent as files."""
        return [base64.b64decode(one) for one in self.page.evaluate(READ_FILES)]

    def lent(self) -> list[str]:
        """Whether camera and microphone are still in use."""
        found: list[str] = self.page.evaluate("window.lent.map((one) => one.readyState)")
        return found

    def sent(self, path: str = "/predict") -> list[bytes]:
        asked = [one for one in self.requests if urlsplit(one.url).path == path]
        return [one.post_data_buffer or b"" for one in asked]


@pytest.fixture
def look(browser: Browser, server: str) -> Iterator[Callable[..., Visit]]:
    """Open pages; in the end none has asked anybody else, or complained."""
    visits = []

    def opened(**how: Any) -> Visit:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **how})
        visits.append(Visit(context.new_page(), server))
        return visits[-1]

    yield opened
    for visit in visits:
        visit.page.context.close()
        assert not visit.complaints
        own = ("data:", "blob:", f"{server}/")
        assert visit.requests and all(one.url.startswith(own) for one in visit.requests)


def shown(share: float) -> str:
    return f"<\u00a00.1{PERCENT}" if share < 0.0005 else f"{min(99.9, 100 * share):.1f}{PERCENT}"


def says(visit: Visit, prediction: Any) -> None:
    """The page says what the model says: the answer, and the bars in order."""
    assert visit.text(".headline") == f"{prediction.label} {shown(prediction.probability)}"
    best = sorted(prediction.probabilities.items(), key=lambda one: -one[1])
    bars = [one.inner_text().split("\n") for one in visit.page.locator(".bars li").all()]
    assert bars == [[name, shown(share)] for name, share in best[: len(bars)]]
    assert len(bars) == min(5, len(best))
    widths = visit.page.locator(".bar span").evaluate_all(
        "all => all.map(one => one.offsetWidth / one.parentElement.offsetWidth)"
    )
    assert np.allclose(widths, [share for _, share in best[: len(bars)]], atol=0.02)


# What is given -----------------------------------------------------------------------------------


def test_a_picture_that_is_picked_is_answered_as_predict_does(
    look: Any, asked: Any, given: Path
) -> None:
    visit = look().open().pick(given / "disc.png").answered()
    expected = asked("shapes", given / "disc.png")
    says(visit, expected)
    page = visit.page
    expect(page.locator("#status")).to_contain_text(expected.label)
    assert "81.0 %" in visit.text("#facts")
    picture = page.get_by_role("img", name="disc.png")
    assert picture.evaluate("one => [one.naturalWidth, one.naturalHeight]") == [96, 96]
    page.get_by_role("button", name="Show all 7").press("Enter")
    expect(page.locator(".bars li")).to_have_count(7)
    page.get_by_role("button", name="Show only").click()
    expect(page.locator(".bars li")).to_have_count(5)


def test_where_it_looked_can_be_hidden_and_asked_of_another_class(
    look: Any, asked: Any, given: Path
) -> None:
    page = look().open().pick(given / "disc.png").answered().page
    image = page.locator(".why img").first
    mapped = image.get_attribute("src")
    page.get_by_label("Show the map").uncheck()
    plain = image.get_attribute("src")
    assert mapped and plain and mapped != plain
    for source in (mapped, plain):
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as picture:
            assert picture.format == "PNG" and min(picture.size) >= 32
    likely = asked("shapes", given / "disc.png").label
    other = next(name for name in CLASSES if name != likely)
    page.get_by_label("What speaks for").select_option(other)
    expect(page.locator(".why .sentence")).to_contain_text(f"; for {other} (", timeout=20_000)
    expect(page.get_by_label("What speaks for")).to_be_focused()


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_picture_may_be_dropped_or_pasted(look: Any, asked: Any, given: Path, way: str) -> None:
    visit = look().open()
    content = base64.b64encode((given / "cross.png").read_bytes()).decode()
    visit.page.evaluate(
        """([way, content]) => {
          const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
          const held = new DataTransfer();
          held.items.add(new File([bytes], "cross.png", { type: "image/png" }));
          const told = { bubbles: true, cancelable: true, dataTransfer: held, clipboardData: held };
          if (way === "paste") return document.dispatchEvent(new ClipboardEvent("paste", told));
          const place = document.querySelector("footer");
          const on = (name) => place.dispatchEvent(new DragEvent(name, told));
          on("dragenter");
          if (!document.body.classList.contains("over")) throw new Error("it does not show");
          if (on("dragover")) throw new Error("the browser would open it");
          on("drop");
        }""",
        [way, content],
    )
    says(visit.answered(), asked("shapes", given / "cross.png"))
    assert not visit.page.evaluate("document.body.classList.contains('over')")


def test_a_large_photograph_is_sent_as_it_is(look: Any, asked: Any, given: Path) -> None:
    visit = look().open().pick(given / "large.jpg").answered()
    says(visit, asked("shapes", given / "large.jpg"))
    assert visit.files() == [(given / "large.jpg").read_bytes()]


def test_many_pictures_and_one_that_is_broken(look: Any, asked: Any, given: Path) -> None:
    names = ["cross.png", "broken.jpg", "disc.png", "square.png"]
    visit = look().open().pick(*(given / name for name in names)).answered()
    page = visit.page
    answers = asked("shapes", [given / name for name in names])
    lines = [one.inner_text().split("\n") for one in page.locator(".many li").all()]
    for name, answer, line in zip(names, answers, lines, strict=True):
        said = f"{answer.label}, {shown(answer.probability)}"
        assert line == [name, *(["not read", answer.error] if answer.error else [said])]
    assert "not read 1" in visit.text("#said")
    with page.expect_download() as download:
        page.get_by_role("link", name="All answers as CSV").click()
    table = list(csv.DictReader(download.value.path().read_text().splitlines()))
    assert [one["name"] for one in table] == names
    assert table[1]["error"] == answers[1].error and table[1]["label"] == ""
    assert float(table[2]["disc"]) == pytest.approx(answers[2].probabilities["disc"], abs=1e-6)
    page.locator("button.line").nth(1).click()
    visit.answered()
    says(visit, answers[2])
    expect(page.locator("button.line").nth(1)).to_have_attribute("aria-expanded", "true")


def test_a_broken_picture_says_what_is_wrong_with_it(look: Any, asked: Any, given: Path) -> None:
    (problem,) = asked("shapes", [given / "broken.jpg"])
    page = look().open().pick(given / "broken.jpg").page
    expect(page.get_by_role("alert")).to_contain_text(f"broken.jpg: {problem.error}")
    expect(page.locator("#answer")).to_be_hidden()
    page.set_input_files("#file", str(given / "disc.png"))
    expect(page.locator("#answer")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_empty()


def test_what_is_unlike_all_it_learnt_is_none_of_these(look: Any, asked: Any, given: Path) -> None:
    prediction = asked("strict", given / "disc.png")
    assert prediction.unknown
    visit = look().open("strict").pick(given / "disc.png").answered()
    assert visit.text(".headline") == "None of these"
    assert prediction.label in visit.text(".notes")
    expect(visit.page.locator(".bars .yes")).to_have_count(0)


def test_the_camera_gives_a_picture(look: Any, asked: Any) -> None:
    visit = look(permissions=["camera"]).open()
    page = visit.page
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Take the picture").click()
    visit.answered()
    (picture,) = visit.files()
    with Image.open(io.BytesIO(picture)) as taken:
        assert min(taken.size) >= 240 and np.asarray(taken).std() > 5
    says(visit, asked("shapes", picture))
    assert visit.lent() == ["ended"]
    assert page.evaluate("document.getElementById('preview').srcObject") is None


def test_the_microphone_gives_a_recording(look: Any, asked: Any) -> None:
    visit = look(permissions=["microphone"]).open("tones")
    page = visit.page
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.locator("#record-said")).to_have_text("Recording.")
    page.wait_for_timeout(600)
    assert float(page.get_by_label("How loud it is").evaluate("one => one.value")) > 0.2
    page.get_by_role("button", name="Stop and ask").click()
    visit.answered()
    assert visit.lent() == ["ended"]
    (recording,) = visit.files()
    samples, rate = soundfile.read(io.BytesIO(recording))
    assert samples.ndim == 1 and 0.4 < len(samples) / rate < 4
    heard = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert np.argmax(heard) * rate / len(samples) == pytest.approx(TONE, abs=5)
    assert np.abs(samples).max() == pytest.approx(0.4, abs=0.05)
    says(visit, asked("tones", recording))
    assert page.locator(".told audio").first.evaluate("one => one.error") is None


def test_a_long_recording_tells_what_is_heard_when(look: Any, asked: Any, given: Path) -> None:
    timeline = asked("tones", given / "long.wav").timeline
    visit = look().open("tones").pick(given / "long.wav").answered()
    lines = visit.page.locator(".timeline li").all_inner_texts()
    assert len(timeline) > 1
    for one, line in zip(timeline, lines, strict=True):
        said = "silence" if one.label is None else f"{one.label}, {shown(one.probability)}"
        assert line == f"{one.start:.1f} to {one.end:.1f}\u00a0s {said}"
    visit.page.locator(".timeline button").nth(1).press("Enter")
    player = visit.page.locator(".told audio").first
    assert player.evaluate("one => one.currentTime") >= timeline[1].start - 0.01


def test_a_row_is_filled_in(look: Any, asked: Any) -> None:
    visit = look().open("rows")
    page = visit.page
    page.get_by_label("length").fill("2.5")
    page.get_by_label("day").fill("2026-03-14")
    page.get_by_label("colour").select_option("green")
    page.get_by_role("button", name="Ask", exact=True).click()
    row = {"length": 2.5, "day": "2026-03-14", "colour": "green", "town": None}
    says(visit.answered(), asked("rows", row))
    assert json.loads(visit.sent()[0]) == {"rows": [row]}
    expect(page.locator(".counted tbody th")).to_have_count(len(COLUMNS))


def test_rows_of_a_csv_file_are_answered_as_predict_does(
    look: Any, asked: Any, given: Path
) -> None:
    visit = look().open("rows").pick(given / "rows.csv").answered()
    lines = visit.page.locator(".many li").all_inner_texts()
    for number, (one, line) in enumerate(
        zip(asked("rows", given / "rows.csv"), lines, strict=True)
    ):
        assert line.split("\n") == [f"row {number}", f"{one.label}, {shown(one.probability)}"]
    visit.pick(given / "disc.png")
    expect(visit.page.get_by_role("alert")).to_contain_text("no text in UTF-8")


def test_csv_is_read_as_python_reads_it(look: Any) -> None:
    texts = [
        'a,b\n1,"x, y"\n', 'a;b\r\n"say ""hi""";2\r\n\r\n3;', "a\n\n\"\"\n", 'a,b\n "q" ,z\rlast,',
        'a,b\n"two\nlines",1', "a|b\n1|2|3\n4", "\n\na,b\n", '"x"y,z', "a,b\n,\n", "",
    ]  # fmt: skip
    page = look().open().page
    for text in texts:
        for delimiter in ",;|":
            plain = io.StringIO(text, newline="")
            read = csv.reader(plain, delimiter=delimiter, skipinitialspace=True)
            found = page.evaluate(
                "async ([text, one]) => (await import('/page/table.js')).cells(text, one)",
                [text, delimiter],
            )
            assert found == [row for row in read if row], (text, delimiter)


# What is answered --------------------------------------------------------------------------------


def answering(visit: Visit, about: dict[str, Any], prediction: dict[str, Any]) -> Visit:
    """Let the server say something else."""
    limits = {"bytes": 1 << 20, "files": 8, "rows": 100, "pixels": 10_000_000, "seconds": 60}
    usual = {"name": "other", "kind": "image", "task": "classification", "facts": "", "runtime": ""}
    model = {**usual, "explains": False, "classes": [], "limits": limits, **about}
    reply = {"model": "other", "predictions": [{"name": "x", "error": None, **prediction}]}
    visit.page.route("**/models", lambda route: route.fulfill(json=[model]))
    visit.page.route("**/predict?*", lambda route: route.fulfill(json=reply))
    return visit.open()


def test_labels_and_those_that_may_be_there(look: Any, given: Path) -> None:
    shares = {"beach": 0.9, "sea": 0.7, "town": 0.2}
    said = {"labels": ["beach", "sea"], "label": "beach", "probability": 0.9}
    told = {**said, "probabilities": shares, "coverage": 0.9, "labels_set": ["beach", "sea"]}
    about = {"task": "multilabel", "classes": list(shares)}
    visit = answering(look(), about, told).pick(given / "disc.png").answered()
    assert visit.text(".headline") == "beach, sea"
    assert "90\u00a0% sure: no others than beach, sea." in visit.text("#said")
    assert [one.split("\n")[0] for one in visit.page.locator(".yes").all_inner_texts()] == [
        "beach",
        "sea",
    ]


def test_numbers_and_their_ranges(look: Any, given: Path) -> None:
    told = {"values": {"price": -312.5, "age": 1234567.0}, "coverage": 0.95}
    ranges = {"price": [-400.0, -200.25], "age": [None, None]}
    about = {"task": "regression", "classes": ["price", "age"]}
    visit = answering(look(), about, {**told, "ranges": ranges}).pick(given / "disc.png").answered()
    rows = [one.split("\t") for one in visit.page.locator("tbody tr").all_inner_texts()]
    assert rows[0] == ["price", "−312.5", "−400 to −200.25"]
    assert rows[1] == ["age", "1234570", "any number: too few were held out"]


def test_what_the_server_says_is_text_and_never_markup(look: Any, given: Path) -> None:
    nasty = "<img src=x onerror=alert(1)>"
    told = {"label": nasty, "probability": 1.0, "probabilities": {nasty: 1.0}}
    visit = answering(look(), {"name": nasty, "facts": nasty, "classes": [nasty]}, told)
    visit.pick(given / "disc.png").answered()
    assert visit.text("#name") == visit.text("#facts") == nasty
    assert visit.text(".headline") == f"{nasty} 100{PERCENT}"
    expect(visit.page.locator("img[src=x]")).to_have_count(0)


def test_what_is_too_large_is_not_sent(look: Any, given: Path) -> None:
    visit = answering(look(), {"limits": {"bytes": 2000, "files": 8}}, {})
    visit.pick(given / "large.jpg")
    expect(visit.page.get_by_role("alert")).to_contain_text("the server takes at most")
    assert not visit.sent()


def test_a_busy_server_is_asked_once_more(look: Any, asked: Any, given: Path) -> None:
    visit = look().open()
    times = []

    def busy(route: Route) -> None:
        times.append(route)
        full = {"error": "The queue is full.", "hint": "Try again in 1 s."}
        if len(times) in (1, 3, 4):
            return route.fulfill(
                status=503, headers={"Retry-After": "1" if len(times) == 1 else "0.1"}, json=full
            )
        return route.continue_()

    visit.page.route("**/predict?*", busy)
    visit.pick(given / "disc.png")
    expect(visit.page.locator("#status")).to_contain_text("busy; asking again in 1 s")
    says(visit.answered(), asked("shapes", given / "disc.png"))
    visit.pick(given / "disc.png")
    expect(visit.page.get_by_role("alert")).to_have_text("The queue is full. Try again in 1 s.")
    assert len(times) == 4


def test_a_server_that_has_gone_is_said(look: Any, given: Path) -> None:
    visit = look().open()
    visit.page.route("**/predict?*", lambda route: route.abort())
    visit.pick(given / "disc.png")
    expect(visit.page.get_by_role("alert")).to_contain_text("The server does not answer.")
    expect(visit.page.locator("#stop")).to_be_hidden()


def guarded(route: Route) -> None:
    if route.request.headers.get("authorization") == "Bearer open sesame":
        return route.continue_()
    return route.fulfill(status=401, json={"error": "This server needs its token.", "hint": ""})


def test_a_token_is_asked_for_and_kept_for_the_tab(look: Any) -> None:
    visit = look()
    page = visit.page
    page.route("**/models", guarded)
    page.goto(visit.url)
    for token in ("wrong", "open sesame"):
        page.get_by_role("textbox", name="Token").fill(token)
        page.keyboard.press("Enter")
        if token == "wrong":
            expect(page.locator("#token-why")).to_contain_text("does not take this token")
    expect(page.locator("#give")).to_be_visible()
    page.reload()
    expect(page.locator("#give")).to_be_visible()
    assert page.evaluate("Object.values(localStorage).length + document.cookie.length") == 0


def test_a_token_may_come_behind_the_address(look: Any) -> None:
    visit = look()
    visit.page.route("**/models", guarded)
    visit.open(path="/#token=open%20sesame")
    assert visit.page.url == f"{visit.url}/"


# For everybody -----------------------------------------------------------------------------------


def test_all_is_reached_by_keyboard(look: Any, asked: Any, given: Path) -> None:
    visit = look(permissions=["camera"]).open()
    keys, page = visit.page.keyboard, visit.page
    page.on("filechooser", lambda _: None)  # now, not in a race with the key
    reached = []
    for _ in range(4):
        keys.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        reached.append(page.evaluate("document.activeElement.id"))
        assert outline == "solid" or reached[-1] == ""
    assert reached[:3] == ["model", "choose", "camera"]
    page.locator("#camera").focus()
    keys.press("Space")
    expect(page.locator("#snap")).to_be_focused()
    keys.press("Escape")
    expect(page.locator("#camera-dialog")).to_be_hidden()
    expect(page.locator("#camera")).to_be_focused()
    keys.press("Shift+Tab")
    with page.expect_file_chooser() as chooser:
        keys.press("Enter")
    chooser.value.set_files(str(given / "disc.png"))
    says(visit.answered(), asked("shapes", given / "disc.png"))


def contents(visit: Visit, given: Path) -> Iterator[str]:
    """Everything the page shows, one after the other."""
    page = visit.page
    visit.pick(given / "disc.png", given / "broken.jpg").answered()
    page.locator("button.line").click()
    visit.answered()
    yield "pictures"
    visit.pick(given / "broken.jpg")
    expect(page.get_by_role("alert")).not_to_be_empty()
    yield "problem"
    page.select_option("#model", "strict")
    visit.pick(given / "disc.png").answered()
    yield "unknown"
    page.select_option("#model", "tones")
    visit.pick(given / "long.wav").answered()
    yield "sound"
    page.select_option("#model", "rows")
    visit.pick(given / "rows.csv").answered()
    page.locator("button.line").first.click()
    visit.answered()
    yield "rows"
    page.evaluate("document.getElementById('token-dialog').showModal()")
    yield "dialog"


def test_axe_finds_nothing_and_no_width_scrolls(look: Any, given: Path) -> None:
    """axe-core checks names, roles, headings, and contrast in light and dark, of all contents."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    visit = look(viewport={"width": 360, "height": 740}).open()
    page, grounds = visit.page, []
    for content in contents(visit, given):
        for scheme, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
            page.emulate_media(color_scheme=scheme)
            found = axe.run(page, options={"resultTypes": ["violations"], **rules})
            wrong = [
                (one["id"], [node["html"] for node in one["nodes"]])
                for one in found.response["violations"]
            ]
            assert not wrong, (content, scheme)
            grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, content
    assert set(grounds[::2]) == {"rgb(255, 255, 255)"}
    assert set(grounds[1::2]) == {"rgb(20, 23, 26)"}


def test_what_is_heard_by_those_who_listen(look: Any, given: Path) -> None:
    page = look().open().pick(given / "disc.png").answered().page
    tree = page.locator("body").aria_snapshot()
    for part in (
        'heading "shapes" [level=1]',
        'heading "Answer" [level=2]',
        'status: "Answer:',
        'list "Probabilities"',
    ):
        assert part in tree
    assert page.locator("#status").evaluate("one => one.getBoundingClientRect().width") <= 1


def test_a_phone_takes_a_photo(look: Any) -> None:
    phone = look(has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740}).open()
    with phone.page.expect_file_chooser() as chooser:
        phone.page.get_by_role("button", name="Take a photo").tap()
    assert chooser.value.element.get_attribute("capture") == "environment"


def scripts() -> Sequence[Path]:
    from quickstudy import serving

    return sorted((Path(serving.__file__).parent / "page").glob("*"))


def test_the_page_names_no_other_place_and_has_nothing_inline() -> None:
    text = {one.name: one.read_text(encoding="utf-8") for one in scripts()}
    assert {"index.html", "page.css", "page.js"} <= set(text)
    for name, content in text.items():
        rest = content.replace("http://www.w3.org/2000/svg", "")
        assert "://" not in rest and "innerHTML" not in rest and "eval(" not in rest, name
    assert " style=" not in text["index.html"] and " on" + "click=" not in text["index.html"]
