"""`mrcnn-cv models ...`, and --model with a name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

import click
import pytest

from mrcnn_cv import cli
from mrcnn_cv.cli.commands import models as commands
from mrcnn_cv.cli.commands.predict import predict
from mrcnn_cv.cli.console import progress as console_progress
from mrcnn_cv.cli.console.messages import readable_size
from mrcnn_cv.cli.console.progress import PullProgress
from mrcnn_cv.cli.console.tables import model_table
from mrcnn_cv.cli.resolve_model import find_model
from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.hub import registry, user_models
from mrcnn_cv.hub.pull import pull
from mrcnn_cv.hub.registry import ZooModel, zoo_models
from tests.hub.conftest import HASTE, NAME, OTHER, files_in, released, zoo_entry
from tests.hub.server import Server, drop, instead, status


class Run(Protocol):
    """Run `mrcnn-cv` in this process: exit code, stdout, stderr."""

    def __call__(self, *arguments: str | Path) -> tuple[int, str, str]: ...


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: ZooModel) -> Run:
    monkeypatch.setitem(cli.COMMANDS, "models", "mrcnn_cv.cli.commands.models:models")
    monkeypatch.setattr("mrcnn_cv.hub.download.RetryPolicy", lambda timeout: HASTE)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = cli._run(["models", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


def refused(result: tuple[int, str, str], code: int) -> str:
    """The one sentence of a refusal."""
    assert result[0] == code, result
    assert not result[1]
    assert result[2].startswith("mrcnn-cv: error: ")
    assert result[2].count("\n") == 1
    return result[2]


def test_everyday_path(run: Run, home: Path) -> None:
    assert "models pull " + NAME in refused(run("path", NAME), 3)
    code, out, err = run("pull", NAME)
    assert (code, out) == (0, "")
    assert err == f"{NAME} is ready: {home / 'zoo' / NAME}\n"
    assert run("path", NAME) == (0, f"{home / 'zoo' / NAME / 'frozen_inference_graph.pb'}\n", "")
    assert "here already" in run("pull", NAME)[2]
    assert run("remove", NAME) == (0, "", f"{NAME} is removed\n")
    assert files_in(home) == set()
    assert "nothing to remove" in refused(run("remove", NAME), 3)


def test_alone_it_shows_its_help(run: Run) -> None:
    code, out, err = run()
    assert (code, out) == (2, "")
    assert "pull" in err
    assert run("--help") == (0, err, "")


def test_quiet(run: Run) -> None:
    assert run("pull", NAME, "-q") == (0, "", "")
    assert run("remove", NAME, "-q") == (0, "", "")


def test_list(run: Run, model: ZooModel, tiny_graph: Path, server: Server) -> None:
    user_models.add(user_models.UserModel("mine", tiny_graph, classes=3))
    code, out, err = run("list")
    assert (code, err) == (0, "")
    rows = {words[0]: words for words in map(str.split, out.splitlines())}
    assert list(rows) == ["name", NAME, "demo", "mine"]
    assert rows[NAME][1:] == ["3", "90", "kB", "-", "-", "-", "no", "Apache-2.0"]
    assert rows["demo"][1] == "6"
    assert "bundled" in rows["demo"]
    assert rows["mine"][-2] == "yes"
    server.script = [drop(model.size // 2), status(404)]
    assert run("pull", NAME)[0] == 3
    assert "50 %" in run("list")[1]
    run("pull", NAME)
    assert "pulled" in run("list")[1]
    found = {each["name"]: each for each in json.loads(run("list", "--json")[1])}
    assert found[NAME]["here"] == "pulled"
    assert found[NAME]["pulled_from"] == model.url
    assert Path(found[NAME]["path"]).is_dir()
    assert found["mine"]["kind"] == "yours"


def test_list_of_the_real_zoo_fits_a_usual_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    from mrcnn_cv.hub.catalog import catalog

    lines = model_table(catalog())
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 110
    for name in zoo_models():
        assert name in text
    assert "27.12    21.48   79" in text


def test_info(run: Run, model: ZooModel, tiny_graph: Path) -> None:
    code, out, _ = run("info", NAME)
    assert code == 0
    for part in (model.checksums["sha256"], model.url, "Apache-2.0", f"({model.size:,} bytes)", "Mask R-CNN"):
        assert part in out
    assert json.loads(run("info", NAME, "--json")[1])["checksums"] == dict(model.checksums)
    user_models.add(user_models.UserModel("mine", tiny_graph, None, {"score": "0.7"}, "Mask R-CNN", 3))
    out = run("info", "mine")[1]
    assert str(tiny_graph) in out
    assert "defaults score" in out
    assert f"did you mean {NAME}?" in refused(run("info", NAME[:-1]), 3)


def test_the_name_of_an_archive_is_as_good(run: Run) -> None:
    assert run("info", f"{NAME}_2018_01_28")[0] == 0
    assert run("pull", f"{NAME}_2018_01_28")[0] == 0
    assert run("path", f"{NAME}_2018_01_28")[0] == 0
    assert run("remove", f"{NAME}_2018_01_28")[0] == 0


def test_pull_from_files_and_mirrors(
    run: Run, server: Server, tmp_path: Path, archive: bytes, graphs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = released(graphs / "tiny_faster_rcnn", OTHER)
    entries = {NAME: zoo_entry(archive, "http://x.invalid"), OTHER: zoo_entry(other, "http://x.invalid", OTHER)}
    monkeypatch.setattr(registry, "zoo_models", lambda: entries)
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for name, data in ((NAME, archive), (OTHER, other)):
        (mirror / entries[name].archive_name).write_bytes(data)
    assert run("pull", NAME, OTHER, "--from", mirror)[0] == 0
    assert run("pull", NAME, "--again", "--from", f"{server.address}/base")[0] == 0
    one = mirror / entries[NAME].archive_name
    assert "is one archive, and 2 models are named" in refused(run("pull", NAME, OTHER, "--from", one), 2)
    assert "is not the archive of" in refused(run("pull", OTHER, "--again", "--from", one), 3)
    assert "not an address to pull from" in refused(run("pull", NAME, "--from", "file:///etc/passwd"), 2)
    assert "check the path (--from)" in refused(run("pull", NAME, "--from", "missing.tar.gz"), 3)


def test_refusals_of_a_pull(run: Run, server: Server, model: ZooModel, home: Path) -> None:
    server.script = [instead(bytes(model.size))]
    assert "nothing of it was kept" in refused(run("pull", NAME), 3)
    assert files_in(home) == set()
    assert "no model of the name nobody" in refused(run("pull", "nobody"), 3)
    assert "nothing to pull" in refused(run("pull", "demo"), 2)
    home.rename(home.parent / "away")
    home.write_text("a file")
    assert "MRCNN_CV_HOME" in refused(run("pull", NAME), 6)


def test_add_and_remove(run: Run, tiny_graph: Path, tmp_path: Path, home: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("cup\nspoon\nplate\n")
    arguments = ("add", "mine", tiny_graph, "--labels", "labels.txt", "--set", "score=0.7", "--set", "classes=cup,2")
    assert run(*arguments) == (0, "", f"mine is registered: {tiny_graph}\n")
    found = user_models.user_models()["mine"]
    assert (found.labels, found.classes, found.family) == (labels, 3, "Mask R-CNN")
    assert found.defaults == {"score": "0.7", "classes": "cup,2"}
    assert run("path", "mine")[1] == f"{tiny_graph}\n"
    assert "--overwrite" in refused(run(*arguments), 2)
    assert run(*arguments, "--overwrite")[0] == 0
    assert "its files are where they were" in run("remove", "mine")[2]
    assert tiny_graph.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["mine", "missing.pb"], 3, "there is no model file"),
        (["mine", "text.txt"], 3, "text.txt is a text file"),
        (["a/b", "GRAPH"], 2, "cannot name a model"),
        ([NAME, "GRAPH"], 2, "is a name of the model zoo"),
        (["demo", "GRAPH"], 2, "is a name of the model zoo"),
        (["mine", "GRAPH", "--labels", "missing.txt"], 3, "missing.txt"),
        (["mine", "GRAPH", "--set", "score=2"], 2, "--set score must be a number from 0 to 1"),
        (["mine", "GRAPH", "--set", "score"], 2, "--set takes OPTION=VALUE, not 'score'"),
        (["mine", "GRAPH", "--set", "output=x"], 2, "--set takes OPTION=VALUE, not 'output=x'"),
        (["mine", "GRAPH", "--set", "model=x"], 2, "backend, classes"),
    ],
)
def test_refusals_of_add(
    run: Run, tiny_graph: Path, tmp_path: Path, home: Path, arguments: list[str], code: int, says: str
) -> None:
    (tmp_path / "text.txt").write_text("only text, and more than a few bytes of it")
    assert says in refused(run("add", *(str(tiny_graph) if each == "GRAPH" else each for each in arguments)), code)
    assert files_in(home) == set()


def test_add_an_archive_and_remove_what_was_unpacked(run: Run, archive: bytes, tmp_path: Path, home: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(archive)
    assert run("add", "packed", "x.tar.gz")[0] == 0
    assert run("path", "packed")[1].rstrip().endswith("frozen_inference_graph.pb")
    assert "what was unpacked of x.tar.gz is removed" in run("remove", "x.tar.gz")[2]
    assert files_in(home) == {"models.json"}


def test_completion_of_names(run: Run) -> None:
    name = commands.ModelName()
    found = name.shell_complete(click.Context(commands.pull), commands.pull.params[0], "tiny")
    assert [each.value for each in found] == [NAME]


def parsed(*arguments: str) -> tuple[click.Context, dict[str, Any]]:
    """What `mrcnn-cv predict photo.jpg` makes of these options."""
    context = predict.make_context("predict", ["photo.jpg", *arguments])
    return context, context.params


def test_options_registered_with_a_name_yield_to_the_command_line_and_the_environment(
    home: Path, tiny_graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc")
    defaults = {"score": "0.7", "classes": "a,b", "nms": "0.4", "threads": "2", "unheard-of": "x"}
    user_models.add(user_models.UserModel("mine", tiny_graph, labels, defaults))
    monkeypatch.setenv("MRCNN_CV_NMS", "0.9")
    context, options = parsed("--model", "mine", "--threads", "1")
    find_model(context)
    assert options["model"] == str(tiny_graph)
    assert options["labels"] == str(labels)
    assert (options["score"], options["classes"], options["nms"], options["threads"]) == (0.7, ("a", "b"), 0.9, 1)
    context, options = parsed("--model", "mine", "--labels", "other.txt", "--score", "0.5")
    find_model(context)
    assert (options["labels"], options["score"]) == ("other.txt", 0.5)


def test_an_option_registered_by_hand_that_cannot_be(home: Path, tiny_graph: Path) -> None:
    user_models.add(user_models.UserModel("mine", tiny_graph, None, {"score": "high"}))
    context, _ = parsed("--model", "mine")
    with pytest.raises(ModelFileError, match="--score, as registered with the model mine, must be a number"):
        find_model(context)


def test_a_path_needs_no_code_that_pulls(tiny_graph: Path) -> None:
    code = "import sys; from mrcnn_cv.hub import resolve_model; from mrcnn_cv.cli.resolve_model import find_model;"
    code += f"resolve_model({str(tiny_graph)!r}); print({{'ssl', 'urllib.request', 'platformdirs'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_model_that_is_not_here_is_pulled_with_consent_only(
    model: ZooModel, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, _ = parsed("--model", NAME)
    with pytest.raises(ModelFileError, match=f"mrcnn-cv models pull {NAME}"):
        find_model(context)
    monkeypatch.setattr(sys, "stdin", _Terminal())
    monkeypatch.setattr(sys, "stderr", _Terminal())
    questions: list[str] = []
    answers = [False, True]

    def confirm(text: str, **how: Any) -> bool:
        assert how["err"]
        questions.append(text)
        return answers.pop(0)

    monkeypatch.setattr(click, "confirm", confirm)
    with pytest.raises(ModelFileError, match="mrcnn-cv models pull"):
        find_model(context)
    assert server.seen == []
    find_model(context)
    assert len(server.seen) == 1
    assert questions == [f"{NAME} is not on this machine yet. Pull 90 kB now?"] * 2


def test_yes_needs_no_terminal(model: ZooModel, server: Server, home: Path) -> None:
    context, options = parsed("--model", NAME, "--yes", "--quiet")
    find_model(context)
    assert options["model"] == str(home / "zoo" / NAME)


class _Terminal:
    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


def test_a_bar_on_a_terminal_only(model: ZooModel, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        with PullProgress(NAME) as progress:
            pull(model, listener=progress)
    assert "100 %" in terminal.text
    assert terminal.text.endswith(" \r")
    monkeypatch.setattr(sys, "stderr", quiet := _Terminal())
    with PullProgress(NAME, quiet=True) as progress:
        pull(model, again=True, listener=progress)
    monkeypatch.setattr(console_progress, "is_terminal", lambda: False)
    with PullProgress(NAME) as progress:
        pull(model, again=True, listener=progress)
    assert quiet.text == ""


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1500, "1.5 kB"),
        (177_817_887, "178 MB"),
        (1_000_000, "1.0 MB"),
        (2**31, "2.1 GB"),
    ],
)
def test_readable_size(size: int, text: str) -> None:
    assert readable_size(size) == text


@pytest.mark.parametrize("path", ["x" * 300, "a\0b", "\ud800", "/" + "y/" * 3000])
def test_a_path_that_cannot_be_is_missing(run: Run, home: Path, path: str) -> None:
    home.mkdir()
    (home / "models.json").write_text(json.dumps({"version": 1, "models": {"cups": {"path": path}}}))
    assert "missing" in run("list")[1]
    assert run("info", "cups")[0] == 0
    assert "is not there any more" in refused(run("path", "cups"), 3)
