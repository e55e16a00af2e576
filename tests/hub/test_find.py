"""What --model means: paths, archives, registered names, names of the zoo."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mrcnn_cv.errors import ModelFileError, OutputError, UsageError
from mrcnn_cv.hub import cache, demo_model, resolve_model, user_models
from mrcnn_cv.hub.pull import pull
from mrcnn_cv.hub.registry import ZooModel, zoo_model, zoo_models
from mrcnn_cv.hub.user_models import UserModel
from mrcnn_cv.importers.load import open_model
from tests.hub.conftest import NAME, files_in
from tests.hub.server import Server


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: ZooModel) -> Path:
    """The working directory."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_path_is_a_path(tiny_graph: Path) -> None:
    assert resolve_model(str(tiny_graph)).path == tiny_graph
    assert resolve_model(tiny_graph.parent).path == tiny_graph.parent
    # Opening says that it is missing.
    for missing in ("missing.pb", "some/missing", "missing.tar.gz", "x" * 5000 + "/y"):
        assert resolve_model(missing).path == Path(missing)


def test_a_name_of_the_zoo(server: Server) -> None:
    with pytest.raises(ModelFileError, match=f"not on this machine yet: get it with 'mrcnn-cv models pull {NAME}'"):
        resolve_model(NAME)
    with pytest.raises(ModelFileError):
        resolve_model(NAME, may_pull=lambda model: False)
    assert server.seen == []
    asked: list[str] = []

    def agreed(model: ZooModel) -> bool:
        asked.append(model.name)
        return True

    found = resolve_model(NAME, may_pull=agreed)
    assert asked == [NAME]
    assert open_model(found.path).definition.class_count == 3
    assert found == resolve_model(NAME)
    assert found.name == NAME
    resolve_model(NAME, may_pull=agreed)
    assert len(asked) == 1


def test_the_name_of_its_archive_means_the_same() -> None:
    assert resolve_model(f"{NAME}_2018_01_28", may_pull=True) == resolve_model(NAME)


def test_a_file_or_folder_of_that_name_comes_first(desk: Path, model: ZooModel, tiny_graph: Path) -> None:
    pull(model)
    (desk / NAME).mkdir()
    assert resolve_model(NAME).path == Path(NAME)
    assert resolve_model(NAME).name is None


def test_the_demo_model_has_a_name() -> None:
    assert resolve_model("demo").path == demo_model()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tiny_mask_rcnn_cocoo", f"no model of the name tiny_mask_rcnn_cocoo: did you mean {NAME}?"),
        ("mask_rcnn", f"did you mean {NAME}?"),
        ("nothing_like_it", "'mrcnn-cv models list' shows the names"),
    ],
)
def test_a_name_that_nobody_has(text: str, says: str) -> None:
    with pytest.raises(ModelFileError) as refusal:
        resolve_model(text)
    assert says in str(refusal.value)


def test_an_archive_as_downloaded(desk: Path, archive: bytes, home: Path) -> None:
    path = desk / "downloaded.tar.gz"
    path.write_bytes(archive)
    folder = resolve_model("downloaded.tar.gz").path
    assert open_model(folder).definition.class_count == 3
    mark = folder / "mark"
    mark.touch()
    assert resolve_model(path).path == folder
    assert mark.exists()
    os.utime(path, (1, 1))
    assert resolve_model(path).path == folder
    assert not mark.exists()
    path.write_bytes(b"\x1f\x8b damaged now")
    with pytest.raises(ModelFileError, match=r"downloaded\.tar\.gz is damaged or not a \.tar\.gz archive"):
        resolve_model(path)
    assert len(list((home / "archives").iterdir())) == 1


def test_an_archive_where_the_cache_cannot_be_written(desk: Path, archive: bytes, home: Path) -> None:
    home.write_text("in the way")
    (desk / "x.tgz").write_bytes(archive)
    with pytest.raises(OutputError, match="MRCNN_CV_HOME"):
        resolve_model("x.tgz")


def test_registered_models(tiny_graph: Path, desk: Path, home: Path) -> None:
    labels = desk / "labels.txt"
    labels.write_text("a\nb\nc\n")
    user_models.add(UserModel("mine", tiny_graph, labels, {"score": "0.7"}, "Mask R-CNN", 3))
    user_models.add(UserModel("also.mine-2", tiny_graph.parent))
    found = resolve_model("mine")
    assert (found.path, found.name, found.labels, found.defaults) == (tiny_graph, "mine", labels, {"score": "0.7"})
    assert list(user_models.user_models()) == ["also.mine-2", "mine"]
    assert files_in(home) == {"models.json"}
    labels.unlink()
    with pytest.raises(
        ModelFileError, match=r"the label file .*labels\.txt, registered as mine, is not there any more"
    ):
        resolve_model("mine")
    assert user_models.remove("mine")
    assert not user_models.remove("mine")
    assert list(user_models.user_models()) == ["also.mine-2"]


def test_a_registered_archive(desk: Path, archive: bytes) -> None:
    (desk / "x.tar.gz").write_bytes(archive)
    user_models.add(UserModel("packed", desk / "x.tar.gz"))
    assert open_model(resolve_model("packed").path).definition.class_count == 3


def test_names_are_not_taken_twice_by_accident(tiny_graph: Path) -> None:
    user_models.add(UserModel("mine", tiny_graph))
    with pytest.raises(UsageError, match="there is a model mine already"):
        user_models.add(UserModel("mine", tiny_graph.parent))
    user_models.add(UserModel("mine", tiny_graph.parent), overwrite=True)
    assert resolve_model("mine").path == tiny_graph.parent
    for name in (NAME, f"{NAME}_2018_01_28", "demo"):
        with pytest.raises(UsageError, match=f"{name} is a name of the model zoo"):
            user_models.add(UserModel(name, tiny_graph))
    user_models.add(UserModel(NAME, tiny_graph), overwrite=True)
    assert resolve_model(NAME).path == tiny_graph


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "-x", "a b", "x" * 65, "ü", "x.pb", "x.tar.gz", "a:b", "a\n"]
)
def test_what_is_no_name(name: str, tiny_graph: Path) -> None:
    with pytest.raises(UsageError, match="cannot name a model"):
        user_models.add(UserModel(name, tiny_graph))


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", "{}", '{"models": 3}', '{"models": {"a": {}}}', '{"models": {"a": {"path": 3}}}', "\xff"),
        *("[" * 100_000, '{"models": {"\\u001b[31m": {"path": "/x"}}}'),
        '{"models": {"a": {"path": "/x", "defaults": {"\\u001b[31m": "1"}}}}',
        '{"models": {"a": {"path": "/x", "classes": "\\u001b[31m"}}}',
    ],
)
def test_a_damaged_list_is_named(text: str, home: Path, tiny_graph: Path) -> None:
    home.mkdir()
    (home / "models.json").write_bytes(text.encode("latin-1"))
    for act in (lambda: resolve_model("mine"), lambda: user_models.add(UserModel("a", tiny_graph))):
        with pytest.raises(ModelFileError, match=r"models\.json, the list of registered models, is damaged"):
            act()
    assert (home / "models.json").read_bytes() == text.encode("latin-1")


def test_a_list_from_the_future(home: Path) -> None:
    home.mkdir()
    (home / "models.json").write_text('{"version": 2, "models": []}')
    with pytest.raises(ModelFileError, match="written by a newer mrcnn-cv"):
        resolve_model("mine")


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, desk: Path) -> None:
    monkeypatch.setenv("MRCNN_CV_HOME", "here")
    assert cache.home() == Path.cwd() / "here"
    monkeypatch.setenv("MRCNN_CV_HOME", "~/there")
    monkeypatch.setenv("HOME", str(desk))
    monkeypatch.setenv("USERPROFILE", str(desk))
    assert cache.home() == desk / "there"
    for empty in (True, False):
        monkeypatch.setenv("MRCNN_CV_HOME", "") if empty else monkeypatch.delenv("MRCNN_CV_HOME")
        assert cache.home().is_absolute()
        assert "mrcnn-cv" in cache.home().parts
        assert "mrcnn-cv" in user_models.registry_path().parts


def test_registry_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    entries = zoo_models()
    assert list(entries) == [
        "mask_rcnn_inception_v2_coco",
        "mask_rcnn_resnet50_atrous_coco",
        "mask_rcnn_resnet101_atrous_coco",
        "mask_rcnn_inception_resnet_v2_atrous_coco",
        "faster_rcnn_inception_v2_coco",
        "faster_rcnn_resnet50_coco",
    ]
    lengths = {"sha1": 40, "sha256": 64, "sha384": 96}
    for name, entry in entries.items():
        assert entry.url == f"http://download.tensorflow.org/models/object_detection/{name}_2018_01_28.tar.gz"
        assert {"sha256", "sha384"} & set(entry.checksums)
        for algorithm, digest in entry.checksums.items():
            assert len(bytes.fromhex(digest)) * 2 == lengths[algorithm]
        assert entry.licence == "Apache-2.0"
        assert (entry.mask_ap is not None) == name.startswith("mask")
        assert zoo_model(f"{name}_2018_01_28") is entry
