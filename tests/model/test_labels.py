"""Label files as people have them, right and wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mrcnn_cv.errors import LabelFileError
from mrcnn_cv.model.coco_classes import COCO_LABELS
from mrcnn_cv.model.label_files import clean
from mrcnn_cv.model.labels import labels_for, read_labels

PETS = {1: "cat", 2: "dog", 3: "guinea pig"}
REST = {2: "dog", 3: "guinea pig"}


def file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(LabelFileError) as caught:
        read_labels(path)
    assert caught.value.exit_code == 3
    message = str(caught.value)
    assert path.name in message
    assert message.isprintable()
    assert len(message) < 500
    return message


def pbtxt(names: dict[int, str]) -> str:
    return "".join(f'item {{\n  name: "/m/{i}"\n  id: {i}\n  display_name: "{name}"\n}}\n' for i, name in names.items())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("label_map.pbtxt", pbtxt(PETS)),
        ("label_map.pbtxt", "item { id: 1 name: 'cat' } item { id: 2 name: 'dog' } item { id: 3, name: 'guinea pig' }"),
        ("label_map.pbtxt", "# pets\nitem: { id: 3 name: 'guinea pig' }\n" + pbtxt({1: "cat", 2: "dog"})),
        ("label_map.pbtxt", "item { id: 1 name: 'cat' frequency: COMMON keypoints { id: 7 } }\n" + pbtxt(REST)),
        ("labels.txt", pbtxt(PETS)),
        ("pets.names", "cat\ndog\nguinea pig\n"),
        ("labels.txt", "cat\r\ndog\r\nguinea pig"),
        ("labels.txt", b"\xef\xbb\xbfcat\ndog \n guinea pig\n\n\n"),
        ("labels.txt", "__background__\ncat\ndog\nguinea pig\n"),
        ("labels.txt", "???\ncat\ndog\nguinea pig\n"),
        ("LABELS.TXT", "BG\ncat\ndog\nguinea pig\n"),
        ("pets.json", '["cat", "dog", "guinea pig"]'),
        ("pets.json", '["background", "cat", "dog", "guinea pig"]'),
        ("pets.json", '{"1": "cat", "2": "dog", "3": "guinea pig"}'),
        ("pets.json", '{"0": "background", "1": "cat", "2": "dog", "3": "guinea pig"}'),
        (
            "pets.json",
            json.dumps({"categories": [{"id": i, "name": n, "supercategory": "x"} for i, n in PETS.items()]}),
        ),
        ("pets.json", json.dumps([{"id": i, "name": n} for i, n in PETS.items()])),
    ],
)
def test_every_kind_of_label_file(tmp_path: Path, name: str, content: str | bytes) -> None:
    assert labels_for(3, file(tmp_path, name, content), None) == (PETS, [])


def test_names_in_any_language(tmp_path: Path) -> None:
    names = {1: "人", 2: "Fußgänger", 3: "čaj"}
    assert read_labels(file(tmp_path, "a.pbtxt", pbtxt(names))) == names
    assert read_labels(file(tmp_path, "a.txt", "\n".join(names.values()))) == names
    assert read_labels(file(tmp_path, "a.json", json.dumps(list(names.values())))) == names


def test_name_serves_where_there_is_no_display_name(tmp_path: Path) -> None:
    text = "item { id: 1 name: 'cat' }\nitem { id: 2 name: 'n02' display_name: 'dog' }\nitem { id: 5 }"
    assert read_labels(file(tmp_path, "a.pbtxt", text)) == {1: "cat", 2: "dog"}


def test_blank_line_keeps_its_place(tmp_path: Path) -> None:
    path = file(tmp_path, "a.names", "cat\n\nguinea pig\n\n")
    assert read_labels(path) == {1: "cat", 3: "guinea pig"}
    names, warnings = labels_for(3, path, None)
    assert names == {1: "cat", 3: "guinea pig"}
    assert len(warnings) == 1
    assert "names 2 of the model's 3 classes" in warnings[0]


def test_background_is_kept_where_the_count_says_that_it_is_a_class(tmp_path: Path) -> None:
    path = file(tmp_path, "a.names", "background\ncat\n")
    assert labels_for(2, path, None) == ({1: "background", 2: "cat"}, [])
    assert labels_for(1, path, None) == ({1: "cat"}, [])


def test_too_few_names_is_one_warning(tmp_path: Path) -> None:
    names, warnings = labels_for(20, file(tmp_path, "a.names", "cat\ndog\n"), None)
    assert names == {1: "cat", 2: "dog"}
    assert len(warnings) == 1
    assert "names 2 of the model's 20 classes" in warnings[0]
    assert "3, 4, 5, 6, 7, 8, ..." in warnings[0]


def test_too_many_names_is_one_warning(tmp_path: Path) -> None:
    names, warnings = labels_for(2, file(tmp_path, "a.names", "cat\ndog\nhorse\n"), None)
    assert names == {1: "cat", 2: "dog"}
    assert len(warnings) == 1
    assert "only 2 classes" in warnings[0]


def test_coco_needs_no_file() -> None:
    names, warnings = labels_for(90, None, None)
    assert warnings == []
    assert len(names) == 80
    assert (names[1], names[13], names[18], names[90]) == ("person", "stop sign", "dog", "toothbrush")
    assert 12 not in names


def test_unknown_classes_without_a_file_are_told_once() -> None:
    names, warnings = labels_for(7, None, None)
    assert names == {}
    assert len(warnings) == 1
    assert "give a label file" in warnings[0]


def test_cocos_own_gaps_are_no_warning(tmp_path: Path) -> None:
    assert labels_for(90, file(tmp_path, "mscoco.pbtxt", pbtxt(COCO_LABELS)), None) == (COCO_LABELS, [])


DARKNET = {"motorcycle": "motorbike", "airplane": "aeroplane", "couch": "sofa", "tv": "tvmonitor",
           "potted plant": "pottedplant", "dining table": "diningtable"}  # fmt: skip


@pytest.mark.parametrize("spelling", [{}, DARKNET])
@pytest.mark.parametrize("first", [[], ["__background__"]])
def test_cocos_80_names_in_a_row_get_cocos_ids(tmp_path: Path, spelling: dict[str, str], first: list[str]) -> None:
    rows = [spelling.get(name, name) for name in COCO_LABELS.values()]
    names, warnings = labels_for(90, file(tmp_path, "coco.names", "\n".join(first + rows)), None)
    assert list(names) == list(COCO_LABELS)
    assert list(names.values()) == rows
    assert len(warnings) == 1
    assert "80" in warnings[0]
    assert "90" in warnings[0]


def test_cocos_80_names_stay_for_a_model_with_80_classes(tmp_path: Path) -> None:
    names, warnings = labels_for(80, file(tmp_path, "coco.names", "\n".join(COCO_LABELS.values())), None)
    assert names[12] == "stop sign"
    assert warnings == []


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        (["label_map.pbtxt", "labels.txt"], "label_map.pbtxt"),
        (["mscoco_label_map.pbtxt", "graph.pbtxt"], "mscoco_label_map.pbtxt"),
        (["Pet_Label_Map.pbtxt"], "Pet_Label_Map.pbtxt"),
        (["classes.txt", "readme.txt"], "classes.txt"),
        (["pets.names"], "pets.names"),
        (["readme.txt", "graph.pbtxt"], None),
        ([], None),
    ],
)
def test_label_file_beside_the_model_is_taken_and_told(tmp_path: Path, files: list[str], taken: str | None) -> None:
    for name in files:
        file(tmp_path, name, pbtxt(PETS) if name.endswith(".pbtxt") else "\n".join(PETS.values()))
    names, warnings = labels_for(3, None, tmp_path)
    if taken is None:
        assert names == {}
        assert len(warnings) == 1
        return
    assert names == PETS
    # A label map is what belongs there; any other file may be about something else.
    assert len(warnings) == (0 if taken.endswith(".pbtxt") else 1)
    assert all(taken in warning for warning in warnings)


def test_two_label_maps_beside_the_model_are_not_guessed_between(tmp_path: Path) -> None:
    for name in ("a_label_map.pbtxt", "b_label_map.pbtxt", "labels.txt"):
        file(tmp_path, name, pbtxt(PETS))
    names, warnings = labels_for(90, None, tmp_path)
    assert names == COCO_LABELS
    assert len(warnings) == 1
    assert "a_label_map.pbtxt, b_label_map.pbtxt" in warnings[0]
    assert "give one of them as the label file" in warnings[0]


def test_broken_file_beside_the_model_is_a_warning_but_a_given_one_an_error(tmp_path: Path) -> None:
    path = file(tmp_path, "label_map.pbtxt", "item { id: }")
    names, warnings = labels_for(90, None, tmp_path)
    assert names == COCO_LABELS
    assert len(warnings) == 1
    assert "not used" in warnings[0]
    with pytest.raises(LabelFileError):
        labels_for(90, path, tmp_path)


def test_given_file_goes_before_the_one_beside(tmp_path: Path) -> None:
    file(tmp_path, "label_map.pbtxt", pbtxt(PETS))
    given_file = file(tmp_path, "mine.txt", "a\nb\nc\n")
    assert labels_for(3, given_file, tmp_path) == ({1: "a", 2: "b", 3: "c"}, [])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", "", "is empty"),
        ("a.txt", " \n\n", "is empty"),
        ("a.txt", "\x1b\n\u200e\n", "has no names"),
        ("a.txt", b"\x00\x01\x02binary", "binary"),
        ("a.pbtxt", b"\x0a\x12\x0a\x05image", "binary"),
        ("a.txt", b"a longer text, and a\x01\xff", "binary"),
        ("a.txt", "café".encode("latin-1"), "save it as UTF-8"),
        ("a.txt", "cat\ndog".encode("utf-16"), "save it as UTF-8"),
        ("a.pbtxt", pbtxt({1: "cat"}) + pbtxt({1: "dog"}), "gives the id 1 twice"),
        ("a.pbtxt", pbtxt({0: "cat"}), "id 0: ids start at 1"),
        ("a.pbtxt", pbtxt({-3: "cat"}), "id -3: ids start at 1"),
        ("a.pbtxt", "item {\n  id: 1\n  name: 'cat\n}\n", "line 3"),
        ("a.pbtxt", "item {\n  id: 1\n  name: cat\n}\n", "line 3"),
        ("a.pbtxt", "item {\n  id: one\n}\n", "line 2"),
        ("a.pbtxt", "item {\n  id: \x1b]0;owned\x07" + "x" * 10_000, "line 2"),
        ("a.pbtxt", "item {\n  id: 99999999999\n}\n", "line 2"),
        ("a.pbtxt", "item {\n  id: 1\n", "line"),
        ("a.pbtxt", "item { name: 'cat' }", "has no id"),
        ("a.pbtxt", 'item { id: 1 name: "\\377" }', "a.pbtxt"),
        ("a.pbtxt", "something { id: 1 }", "no item"),
        ("a.pbtxt", "item { x " + "{ y " * 5000, "a.pbtxt"),
        ("a.pbtxt", 'node {\n  name: "image_tensor"\n  op: "Placeholder"\n}\n', "text graph"),
        ("a.txt", 'node {\n  name: "image_tensor"\n}\n', "text graph"),
        ("a.pbtxt", "model {\n  faster_rcnn {\n  }\n}\n", "pipeline configuration"),
        ("pipeline.config", "# x\nmodel {\n  faster_rcnn {\n  }\n}\n", "pipeline configuration"),
        ("a.yaml", "names: [cat]", ".names or .txt"),
        ("a.json", '["cat", "dog"', "not valid JSON (line 1)"),
        ("a.json", "[]", "JSON of another kind"),
        ("a.json", "{}", "no names"),
        ("a.json", "3", "JSON of another kind"),
        ("a.json", '["cat", 3]', "JSON of another kind"),
        ("a.json", '{"cat": 1}', "JSON of another kind"),
        ("a.json", '{"1": "cat", "01": "dog"}', "gives the id 1 twice"),
        ("a.json", '{"1": "cat", "1": "dog"}', "gives the id 1 twice"),
        ("a.json", '{"0": "cat"}', "ids start at 1"),
        ("a.json", '{"categories": [{"id": 1}]}', "whole-number id and a name"),
        ("a.json", '{"categories": [{"id": true, "name": "cat"}]}', "whole-number id and a name"),
        ("a.json", '{"categories": {"1": "cat"}}', "JSON of another kind"),
        ("a.json", "[" * 100_000, "a.json"),
        ("a.json", "9" * 10_000, "a.json"),
    ],
)
def test_what_is_no_label_file_is_told_in_a_sentence(
    tmp_path: Path, name: str, content: str | bytes, says: str
) -> None:
    assert says in refusal(file(tmp_path, name, content))


def test_missing_folder_pipe_and_huge(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere.txt")
    assert "is a folder" in refusal(tmp_path)
    huge = tmp_path / "huge.txt"
    with huge.open("wb") as handle:
        handle.truncate(17 << 20)
    assert "at most 16 MB" in refusal(huge)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.txt")
        assert "a device or a pipe" in refusal(tmp_path / "pipe.txt")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    path = file(tmp_path, "a.txt", "cat")
    monkeypatch.setattr(Path, "open", refuse)
    assert "permission denied" in refusal(path)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("\x1b[31mcat\x1b[0m", "cat"),
        ("\x1b]0;title\x07cat", "cat"),
        ("\x1b]8;;http://x\x1b\\cat\x1b]8;;\x1b\\", "cat"),
        ("\x9b2Jcat", "cat"),
        ("c\x07a\x08t\x7f", "cat"),
        ("traffic\t  light", "traffic light"),
        ("guinea\npig", "guinea pig"),
        ("\u202etac", "tac"),
        ("\ud800cat", "cat"),
        ("नमस्\u200dते", "नमस्\u200dते"),
    ],
)
def test_terminal_commands_are_taken_out_of_names(tmp_path: Path, name: str, plain: str) -> None:
    assert read_labels(file(tmp_path, "a.json", json.dumps([name]))) == {1: plain}
    if "\ud800" not in name and "\n" not in name:
        assert read_labels(file(tmp_path, "a.txt", f"first name of all\n{name}")) == {1: "first name of all", 2: plain}


@given(st.text())
def test_a_clean_name_is_one_printable_line(name: str) -> None:
    plain = clean(name)
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in plain)
    assert plain == plain.strip()
    assert clean(plain) == plain
    plain.encode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(
    st.sampled_from(["a.pbtxt", "a.txt", "a.json"]),
    st.one_of(st.binary(max_size=60), st.text("item{}:id123name'\"[], \n\\x", max_size=60).map(str.encode)),
)
@example("a.pbtxt", "\u05f5".encode())
def test_any_content_is_read_or_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = file(tmp_path, name, content)
    try:
        names = read_labels(path)
    except LabelFileError:
        refusal(path)
        return
    assert all(number >= 1 and text for number, text in names.items())
