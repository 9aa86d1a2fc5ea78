"""What makes a catalog: folders, the rules about classes, parts, stamps, merging."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quickstudy import catalog
from quickstudy.catalog import FREE, TEST, TRAIN, VAL, Catalog, merge, scan
from quickstudy.errors import ChoiceError, SourceError


def picture(path: Path, colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), colour).save(path, "PNG")
    return path


def fill(root: Path, classes: Sequence[str] = ("cat", "dog"), each: int = 5) -> Path:
    for name in classes:
        for number in range(each):
            picture(root / name / f"{number}.png")
    return root


def look(source: object, **options: object) -> Catalog:
    return scan(source, cache=Path("unused"), **options)  # type: ignore[arg-type]


def fault(source: object, **options: object) -> SourceError:
    with pytest.raises(SourceError) as caught:
        look(source, **options)
    assert caught.value.hint
    return caught.value


def reasons(found: Catalog) -> dict[str, str]:
    return {one.name: one.reason for one in found.left_out}


def test_a_folder_per_class(tmp_path: Path) -> None:
    found = look(str(fill(tmp_path)))
    assert found.kind == "image" and found.source == str(tmp_path)
    assert found.classes == ("cat", "dog") and found.counts() == {"cat": 5, "dog": 5}
    assert found.names[0] == str(Path("cat", "0.png"))
    assert found.labels.tolist() == [0] * 5 + [1] * 5 and found.labels.dtype == np.int64
    assert set(found.given.tolist()) == {FREE} and found.given.dtype == np.int8
    assert set(found.groups.tolist()) == {-1} and found.groups.dtype == np.int64
    assert found.read(7) == tmp_path / "dog" / "2.png"
    assert found.left_out == () and found.notes == ()


def test_nested_folders_take_the_first_level(tmp_path: Path) -> None:
    fill(tmp_path)
    picture(tmp_path / "cat" / "2024" / "may" / "a.PNG")
    found = look(tmp_path)
    assert found.counts() == {"cat": 6, "dog": 5}


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    root = fill(tmp_path / "root")
    away = picture(tmp_path / "away" / "a.png").parent
    (root / "cat" / "linked").symlink_to(away)
    (root / "cat" / "again").symlink_to(away)
    (root / "dog" / "up").symlink_to(root)
    (root / "dog" / "to_cat").symlink_to(root / "cat")
    (root / "dog" / "file.png").symlink_to(away / "a.png")
    (root / "dog" / "gone.png").symlink_to(root / "nothing")
    found = look(root)
    assert found.counts() == {"cat": 6, "dog": 6}
    assert reasons(found)[str(Path("dog", "gone.png"))] == "broken link"
    assert sum("already read" in reason for reason in reasons(found).values()) == 3


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "VALID", "Test")])
def test_ready_made_parts_are_respected(tmp_path: Path, names: Sequence[str]) -> None:
    fill(tmp_path / names[0])
    fill(tmp_path / names[1], each=1)
    fill(tmp_path / names[2], ["cat"], each=2)
    found = look(tmp_path)
    assert [int((found.given == part).sum()) for part in (TRAIN, VAL, TEST)] == [10, 2, 2]
    assert found.classes == ("cat", "dog")
    assert found.notes == ("The test part has no examples of 'dog'.",)


def test_a_class_only_in_the_test_part_is_left_out(tmp_path: Path) -> None:
    fill(tmp_path / "train")
    fill(tmp_path / "test", ["cat", "dog", "yak"], each=1)
    found = look(tmp_path)
    assert found.classes == ("cat", "dog")
    assert any("yak" in note for note in found.notes)
    assert "yak" in reasons(found)[str(Path("test", "yak", "0.png"))]


def test_unlabelled_test_pictures_are_named(tmp_path: Path) -> None:
    fill(tmp_path / "train")
    picture(tmp_path / "test" / "1.png")
    found = look(tmp_path)
    assert len(found) == 10
    assert reasons(found) == {str(Path("test", "1.png")): "lies in no class folder"}


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert look(fill(tmp_path, ["train", "bus", "test"])).classes == ("bus", "test", "train")


def test_clutter_is_ignored_and_other_files_are_counted(tmp_path: Path) -> None:
    fill(tmp_path)
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", ".hidden.png"):
        (tmp_path / "cat" / name).write_bytes(b"x")
    picture(tmp_path / "cat" / ".ipynb_checkpoints" / "a.png")
    picture(tmp_path / "__MACOSX" / "cat" / "a.png")
    (tmp_path / "cat" / "notes.txt").write_text("x")
    (tmp_path / "README").write_text("x")
    found = look(tmp_path)
    assert len(found) == 10
    assert reasons(found) == {
        str(Path("cat", "notes.txt")): "not a picture: .txt",
        "README": "not a picture: no suffix",
    }


def test_a_wrapper_folder_is_unwrapped(tmp_path: Path) -> None:
    fill(tmp_path / "dataset-master" / "data")
    (tmp_path / "README.md").write_text("x")
    found = look(tmp_path)
    assert found.classes == ("cat", "dog")
    assert "dataset-master" in found.notes[0]


def test_names_of_any_sort(tmp_path: Path) -> None:
    odd = ['it\'s "quoted"', "new\nline", "naïve 猫 🐈", "bad\udcff"]
    fill(tmp_path, [*odd, "plain"])
    picture(tmp_path / odd[3] / "also\udcfe.png")
    found = look(tmp_path)
    assert set(found.classes) == {*odd, "plain"}
    assert all(isinstance(path := found.read(i), Path) and path.exists() for i in range(len(found)))


def test_whole_number_classes_sort_by_value(tmp_path: Path) -> None:
    assert look(fill(tmp_path, ["10", "9", "1"])).classes == ("1", "9", "10")


def test_the_stamp_follows_the_files(tmp_path: Path) -> None:
    one = look(fill(tmp_path))
    assert look(tmp_path).stamp == one.stamp
    os.utime(tmp_path / "cat" / "0.png", ns=(1, 1))
    touched = look(tmp_path).stamp
    (tmp_path / "cat" / "0.png").rename(tmp_path / "cat" / "z.png")
    assert len({one.stamp, touched, look(tmp_path).stamp}) == 3


def test_an_empty_class_is_dropped_with_a_note(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "yak").mkdir()
    found = look(tmp_path)
    assert found.classes == ("cat", "dog")
    assert found.notes == ("Class without examples to learn from, dropped: 'yak'.",)


def test_classes_that_differ_in_case_are_told(tmp_path: Path) -> None:
    assert "differ only in case" in look(fill(tmp_path, ["cat", "Cat"])).notes[0]


def test_no_such_folder(tmp_path: Path) -> None:
    fill(tmp_path / "animals")
    error = fault(tmp_path / "animols")
    assert "does not exist" in error.message and "'animals'" in error.hint


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "is empty" in fault(tmp_path).message


def test_folders_without_pictures(tmp_path: Path) -> None:
    for name in ("a/b/c", "d/e/f"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a" / "b" / "x.heic").write_bytes(b"x")
    error = fault(tmp_path)
    assert "no pictures" in error.message and ".heic" in error.hint


def test_pictures_without_class_folders(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"{number}.png")
    error = fault(tmp_path)
    assert "3 pictures but no class folders" in error.message and "folder per class" in error.hint


def test_one_class_only(tmp_path: Path) -> None:
    fill(tmp_path, ["cat"])
    (tmp_path / "dog").mkdir()
    error = fault(tmp_path)
    assert "only one class, 'cat'" in error.message and "'dog'" in error.message


def test_small_classes_are_named_with_all_other_faults(tmp_path: Path) -> None:
    fill(tmp_path, ["cat", "dog", "yak"])
    for name, number in (("dog", 0), ("yak", 0), ("yak", 1)):
        (tmp_path / name / f"{number}.png").unlink()
    error = fault(tmp_path)
    assert "'dog' (4), 'yak' (3)" in error.message and "cat" not in error.message.split("in ")[-1]
    lone = fill(tmp_path / "lone", ["cat"], each=2)
    both = fault(lone)
    assert "only one class" in both.message and "'cat' (2)" in both.message


def test_the_size_rule_looks_at_training_examples(tmp_path: Path) -> None:
    fill(tmp_path / "train", each=4)
    fill(tmp_path / "test", each=9)
    assert "'cat' (4), 'dog' (4)" in fault(tmp_path).message


def test_an_unreadable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    listing = os.scandir

    def refuse(path: str) -> object:
        if str(path) == refused:
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(os, "scandir", refuse)
    refused = str(tmp_path)
    assert "Permission denied" in fault(tmp_path).message
    picture(tmp_path / "cat" / "secret" / "a.png")
    refused = str(tmp_path / "cat" / "secret")
    name = str(Path("cat", "secret"))
    assert reasons(look(tmp_path))[name] == "no permission to open this folder"


def test_columns_do_not_fit_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ChoiceError, match="no columns"):
        look(fill(tmp_path), label_column="label")


def test_a_source_that_is_only_tested_on(tmp_path: Path) -> None:
    found = look(fill(tmp_path, ["cat"], each=1), learnable=False)
    assert found.counts() == {"cat": 1}


def test_merge_tests_on_the_second(tmp_path: Path) -> None:
    fill(tmp_path / "one" / "train", ["cat", "dog", "emu"])
    fill(tmp_path / "one" / "test", ["cat", "dog", "emu"], each=1)
    fill(tmp_path / "two", ["dog", "cat", "yak"], each=2)
    train = look(tmp_path / "one")
    test = look(tmp_path / "two", learnable=False)
    both = merge(train, test)
    assert len(both) == 18 + 4
    assert (both.given == TEST).sum() == 3 + 4
    assert both.counts() == {"cat": 8, "dog": 8, "emu": 6}
    for index in range(len(both)):
        path = both.read(index)
        assert isinstance(path, Path) and path.parent.name == both.classes[both.labels[index]]
    assert "not learnt" in reasons(both)[str(Path("yak", "0.png"))]
    assert any("'yak' (2)" in note for note in both.notes)
    assert any("no examples of 'emu'" in note for note in both.notes)
    assert len(set(both.names)) == len(both)
    assert both.stamp not in (train.stamp, test.stamp)


def test_merge_without_a_common_class(tmp_path: Path) -> None:
    train = look(fill(tmp_path / "one"))
    test = look(fill(tmp_path / "two", ["cats", "dogs"]))
    with pytest.raises(SourceError, match="none of the classes"):
        merge(train, test)


def test_merge_keeps_groups_apart() -> None:
    rows = [(np.full((2, 2), i, dtype=np.uint8), "ab"[i % 2]) for i in range(12)]
    one = look(rows)
    grouped = Catalog(**{**vars(one), "groups": np.arange(12) // 2})
    groups = merge(grouped, grouped).groups
    assert set(groups[:12]).isdisjoint(groups[12:])


def test_the_public_names() -> None:
    assert set(catalog.__all__) >= {"scan", "merge", "Catalog", "LeftOut", "TRAIN", "VAL", "TEST"}
