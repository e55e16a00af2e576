"""What other packages and programs add: one of each, used, and what becomes of those that are broken."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.cli import cli
from mrcnn_cv.engines.registry import ENGINES
from mrcnn_cv.errors import ModelFileError, PluginError, UsageError
from mrcnn_cv.hub.registry import demo_model
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.importers.registry import FAMILIES
from mrcnn_cv.inputs.registry import INPUT_KINDS
from mrcnn_cv.outputs.registry import FORMATS
from mrcnn_cv.pipeline import Thresholds, run
from mrcnn_cv.pipeline.executor import EXECUTORS, make_executor
from mrcnn_cv.pipeline.thread_executor import ModelPool, WorkerLayout
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.util.registry import Registry
from tests.cli.conftest import Result, execute
from tests.support.parity import Image
from tests.support.plugin_package import install, install_page, page_groups, page_modules, with_path

REGISTRIES: dict[str, Registry[Any]] = {
    registry.group: registry for registry in (FORMATS, FAMILIES, ENGINES, INPUT_KINDS, EXECUTORS)
}

SOURCE = "data:image/png;base64,"


@pytest.fixture(params=["class", "text"])
def examples(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The classes of docs/plugins.md, registered by a call, as classes or as "module:Class"."""
    folder = tmp_path / "modules"
    folder.mkdir()
    for name, text in page_modules().items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    rows = [(REGISTRIES[group], name, target) for group, row in page_groups().items() for name, target in row.items()]
    for registry, name, target in rows:
        module, _, attribute = target.partition(":")
        made = getattr(__import__(module), attribute) if request.param == "class" else target
        registry.register(name, made, before="image" if registry is INPUT_KINDS else None)
    yield
    for registry, name, _ in rows:
        registry.unregister(name)
    for module in page_modules():
        sys.modules.pop(module, None)


@pytest.fixture
def desk(tmp_path: Path, photo_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a photo, and a file that points to the demo model."""
    folder = tmp_path / "desk"
    folder.mkdir()
    shutil.copy(photo_path, folder / "photo.png")
    (folder / "a_pointer.txt").write_text(f"model at {demo_model()}")
    monkeypatch.chdir(folder)
    return folder


def data_url(photo_path: Path) -> str:
    import base64

    return SOURCE + base64.b64encode(photo_path.read_bytes()).decode()


def in_process(*arguments: str) -> Any:
    return cli.main(args=[*arguments, "-q"], prog_name="mrcnn-cv", standalone_mode=False)


class TestRegisteredByACall:
    @pytest.fixture(autouse=True)
    def _examples(self, examples: None) -> None:
        pass

    def test_a_format(self, desk: Path) -> None:
        assert in_process("photo.png", "--save", "counts,json", "-o", "out") == 0
        assert int((desk / "out" / "photo.png.count.txt").read_text()) >= 0
        assert (desk / "out" / "photo.png.json").is_file()

    def test_a_family(self, desk: Path) -> None:
        found, expected = open_model(desk / "a_pointer.txt"), open_model(demo_model())
        assert found.definition.class_count == expected.definition.class_count
        assert in_process("photo.png", "--model", "a_pointer.txt", "--save", "json", "-o", "out") == 0

    def test_an_engine(self, photo: Image) -> None:
        model = MaskRCNN.load(demo_model(), backend="borrowed")
        found = model.predict(photo)
        assert found.backend is not None
        assert (found.backend.used, found.backend.device) == ("borrowed", "a borrowed processor")
        expected = MaskRCNN.load(demo_model(), backend="cpu").predict(photo)
        np.testing.assert_array_equal(found.boxes, expected.boxes)

    def test_an_input_kind(self, desk: Path, photo_path: Path) -> None:
        assert in_process(data_url(photo_path), "--save", "json", "-o", "out") == 0
        assert (desk / "out" / "data.json").is_file()

    def test_an_executor(self, tiny_model: MaskRCNN, photo: Image) -> None:
        executor = make_executor(ModelPool(tiny_model, lambda: tiny_model), [WorkerLayout(1, 0)], name="serial")
        frames = [Frame(photo, str(number), number) for number in range(3)]
        assert run(executor, frames, [], Thresholds(), []).done == 3


class TestOfAnInstalledPackage:
    @pytest.fixture(autouse=True)
    def _package(self, tmp_path: Path) -> None:
        install_page(tmp_path / "site")

    @pytest.fixture
    def start(self, tmp_path: Path, desk: Path) -> Any:
        def start(*arguments: str) -> Result:
            return execute([sys.executable, "-m", "mrcnn_cv", *arguments], with_path(tmp_path / "site"), cwd=desk)

        return start

    def test_a_format(self, start: Any, desk: Path) -> None:
        done = start("photo.png", "--save", "Counts,overlay", "-o", "out")
        assert done.returncode == 0, done.stderr
        assert sorted(path.name for path in (desk / "out").glob("photo*")) == ["photo.png", "photo.png.count.txt"]

    def test_a_family(self, start: Any) -> None:
        done = start("photo.png", "--model", "a_pointer.txt", "--save", "none", "--json", "-")
        assert done.returncode == 0, done.stderr
        assert '"instances"' in done.stdout

    def test_an_engine(self, start: Any) -> None:
        done = start("photo.png", "--backend", "borrowed", "--save", "none", "--json", "-")
        assert done.returncode == 0, done.stderr
        assert '"used": "borrowed"' in done.stdout

    def test_an_engine_that_is_compared_with_ours(self, start: Any) -> None:
        done = start("compare", "--backends", "cpu,borrowed", "photo.png")
        assert done.returncode == 0, done.stderr

    def test_an_input_kind(self, start: Any, desk: Path, photo_path: Path) -> None:
        done = start(data_url(photo_path), "photo.png", "--save", "json", "-o", "out")
        assert done.returncode == 0, done.stderr
        assert (desk / "out" / "data.json").is_file()
        done = start(SOURCE + "?", "--save", "json", "-o", "other")
        assert done.returncode == 5
        assert "data URL is no base64" in done.stderr

    def test_an_executor(self, tmp_path: Path) -> None:
        code = (
            "from mrcnn_cv.pipeline.executor import EXECUTORS, make_executor\n"
            "print(type(make_executor(None, [], name='serial')).__module__, 'serial' in EXECUTORS)"
        )
        done = execute([sys.executable, "-c", code], with_path(tmp_path / "site"))
        assert done.stdout == "serial_executor False\n", done.stderr

    def test_help_looks_for_none(self, start: Any) -> None:
        """Names in --help are those of mrcnn-cv, and nothing is imported for it."""
        done = start("predict", "--help")
        assert done.returncode == 0
        assert "borrowed" not in done.stdout


FORMAT = "from mrcnn_cv.outputs.base import ImageFormat\nclass Broken(ImageFormat):\n"

BROKEN = {
    "raises": ("1 / 0", "cannot be loaded: ZeroDivisionError: division by zero"),
    "ends": ("raise SystemExit(3)", "cannot be loaded: SystemExit: 3"),
    "lacks a library": ("import no_such_library", "cannot be loaded: ModuleNotFoundError: No module named"),
    "lacks the class": ("", "cannot be loaded: AttributeError: module 'broken' has no attribute 'Broken'"),
    "is no class": ("Broken = 7", "cannot be used: it is not a class"),
    "is another class": ("class Broken: pass", "cannot be used: it is neither an ImageFormat nor a DatasetFormat"),
    "cannot be made": (f"{FORMAT}    def __init__(self): pass\n", "failed: TypeError: "),
    "is abstract": (f"{FORMAT}    pass\n", "failed: TypeError: "),
    "fails when it writes": (
        f"{FORMAT}    def write(self, frame, instances):\n        return instances.nothing\n",
        "failed (AttributeError: 'Instances' object has no attribute 'nothing')",
    ),
}


@pytest.mark.parametrize(
    "kind", ["raises", *(pytest.param(kind, marks=pytest.mark.long) for kind in BROKEN if kind != "raises")]
)
def test_a_broken_format_is_a_sentence_and_no_harm_to_others(kind: str, tmp_path: Path, desk: Path) -> None:
    text, says = BROKEN[kind]
    install(tmp_path / "site", "brok-pack", {"broken": text}, {"mrcnn_cv.formats": {"broken": "broken:Broken"}})
    start = [sys.executable, "-m", "mrcnn_cv", "photo.png", "-o", "out", "--backend", "cpu", "--save"]
    done = execute([*start, "json,broken"], with_path(tmp_path / "site"), cwd=desk)
    assert done.returncode == (1 if kind == "fails when it writes" else 2)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("mrcnn-cv: error: the output format 'broken' of the package brok-pack 1.0 ")
    assert says in last
    assert "Traceback" not in done.stderr
    if kind in ("raises", "ends"):
        # Formats that nobody asks for are not loaded.
        assert execute([*start, "json"], with_path(tmp_path / "site"), cwd=desk).returncode == 0


def test_a_name_that_nobody_has_is_refused_as_before(tmp_path: Path, desk: Path) -> None:
    install_page(tmp_path / "site")
    for option in ("--save", "--backend"):
        done = execute([sys.executable, "-m", "mrcnn_cv", "photo.png", option, "nothing"], with_path(tmp_path / "site"))
        assert done.returncode == 2
        assert f"{option} does not know 'nothing': choose from " in done.stderr


def test_two_packages_with_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        install(tmp_path, name, {}, {"mrcnn_cv.formats": {"twice": f"{name}:Format"}})
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginError, match=r"several packages bring an output format 'twice' \(one 1\.0, two 1\.0\)"):
        FORMATS["twice"]


def test_a_plug_in_does_not_take_the_place_of_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "thief", {"thief": "1 / 0"}, {"mrcnn_cv.formats": {"json": "thief:Json"}})
    monkeypatch.syspath_prepend(str(tmp_path))
    assert FORMATS["json"].__name__ == "JsonRecords"
    assert "json" not in FORMATS.installed()


class TestOthersThatAreBroken:
    """Nothing that mrcnn-cv knows itself suffers, and where nothing else helps the reason is told."""

    GROUPS = ("families", "inputs", "engines", "executors")

    @pytest.fixture(params=["raises", "odd"])
    def broken(self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        """The name of plug-ins that cannot be imported, or fail whatever they are asked."""
        name = f"broken-{request.param}"
        module = name.replace("-", "_")
        asked = ("detect", "load", "classify", "list_images", "open_live", "absent", "remedy", "problem")
        methods = "".join(f"    def {each}(self, *given):\n        raise LookupError('odd')\n" for each in asked)
        texts = {"raises": "1 / 0", "odd": f"class Broken:\n    title = device_name = make_net = work = ''\n{methods}"}
        groups = {f"mrcnn_cv.{group}": {name: f"{module}:Broken"} for group in self.GROUPS}
        install(tmp_path, "pack", {module: texts[request.param]}, groups)
        monkeypatch.syspath_prepend(str(tmp_path))
        return name

    def test_a_family(self, broken: str, desk: Path) -> None:
        assert open_model(demo_model()).definition.class_count
        with pytest.raises(ModelFileError, match="no model file") as before:
            open_model(desk / "missing.pb")
        assert "plug" not in str(before.value)
        with pytest.raises(ModelFileError) as refused:
            open_model(desk / "a_pointer.txt")
        assert "a_pointer.txt is a text file; " in str(refused.value)
        assert f"; the model family '{broken}' of the package pack 1.0 " in str(refused.value)

    def test_an_input_kind(self, broken: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert in_process("photo.png", "missing.jpg", "--save", "json", "-o", "out") == 5
        assert (desk / "out" / "photo.png.json").is_file()
        told = capsys.readouterr().err
        assert "missing.jpg does not exist" in told
        assert f"; the input kind '{broken}' of the package pack 1.0 " in told

    def test_an_engine(self, broken: str) -> None:
        with pytest.raises(
            PluginError, match=f"the engine '{broken}' of the package pack 1.0 (failed|cannot be loaded)"
        ):
            MaskRCNN.load(demo_model(), backend=broken)
        assert MaskRCNN.load(demo_model(), backend="cpu")

    def test_an_executor(self, broken: str) -> None:
        with pytest.raises(PluginError, match=f"the executor '{broken}' of the package pack 1.0 (failed|cannot be)"):
            make_executor(cast(Any, None), [], name=broken)


def test_what_is_known_looks_for_no_plug_ins(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**arguments: object) -> None:
        raise AssertionError("it looks for entry points")

    monkeypatch.setattr(importlib.metadata, "entry_points", fail)
    code = in_process("photo.png", "--save", "json,coco", "--backend", "cpu", "--model", str(demo_model()), "-o", "out")
    assert code == 0
    with pytest.raises(PluginError, match="the entry points of the installed packages cannot be read: AssertionError"):
        FORMATS.knows("another")


def test_errors_of_our_own_rows_are_no_plug_ins() -> None:
    """They are bugs of ours, and are told of as such."""
    for registry in REGISTRIES.values():
        with pytest.raises(KeyError, match="a bug"), registry.blame(next(iter(registry))):
            raise KeyError("a bug")


class Nothing:
    """A plug-in."""


def test_names_that_cannot_be_registered() -> None:
    for name in ("Upper", "", "a,b", "ä", "-x", "x" * 99):
        with pytest.raises(UsageError, match="cannot name an output format: take lower-case letters"):
            FORMATS.register(name, cast(Any, Nothing))
    with pytest.raises(UsageError, match="there is an output format 'json' already"):
        FORMATS.register("json", cast(Any, Nothing))
    with pytest.raises(UsageError, match="there is no output format 'xml' to put 'new' before: overlay, frames, "):
        FORMATS.register("new", cast(Any, Nothing), before="xml")
    with pytest.raises(UsageError, match="'no target' is not of the form module:Class"):
        FORMATS.register("new", "no target")
    for name in ("json", "new"):
        with pytest.raises(UsageError, match=f"no output format '{name}' was registered"):
            FORMATS.unregister(name)
    with pytest.raises(UsageError, match="there is no output format 'new': choose one of overlay, "):
        FORMATS["new"]
    assert "new" not in FORMATS


def test_rows_have_an_order() -> None:
    before = list(FAMILIES)
    FAMILIES.register("first", cast(Any, Nothing), before=before[0])
    FAMILIES.register("last", "tests.test_plugins:Nothing")
    try:
        assert list(FAMILIES) == ["first", *before, "last"]
        assert len(FAMILIES) == len(before) + 2
        with pytest.raises(PluginError, match="the model family 'last' cannot be used: it has no detect and no load"):
            FAMILIES["last"]
    finally:
        FAMILIES.unregister("first")
        FAMILIES.unregister("last")
    assert list(FAMILIES) == before


@pytest.mark.parametrize("group", REGISTRIES)
def test_every_row_can_be_imported(group: str) -> None:
    assert list(REGISTRIES[group])
    for name in REGISTRIES[group]:
        assert isinstance(REGISTRIES[group][name], type)
