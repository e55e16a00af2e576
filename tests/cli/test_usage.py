"""Help, version, and everything that can be wrong with a command line: exit code 2 and a sentence that helps."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from mrcnn_cv import __version__
from mrcnn_cv.cli import options
from mrcnn_cv.cli.commands.predict import predict
from mrcnn_cv.drawing.annotate import PARTS
from mrcnn_cv.engines.select import CHOICES
from mrcnn_cv.outputs.registry import FORMATS
from tests.cli.conftest import Run, execute, refusal, success


def test_help_names_every_option_with_its_default_and_fits_the_terminal(run: Run) -> None:
    for arguments in (["--help"], ["predict", "--help"], ["photo.jpg", "-h"]):
        text = success(run(*arguments)).stdout
        assert max(map(len, text.splitlines())) <= 80
        headings = re.findall(r"^(\w[\w ]+):$", text, flags=re.MULTILINE)
        expected = [
            "Model",
            "Images",
            "Video",
            "Live",
            "Tracking",
            "Which instances",
            "Output",
            "Batch runs",
            "Look of the overlay",
            "Messages",
        ]
        assert headings[-10:] == expected
        entries = [" ".join(entry.split()) for entry in re.split(r"^  (?=-)", text, flags=re.MULTILINE)[1:]]
        shown = {re.findall(r"--[a-z-]+", entry)[0]: entry for entry in entries}
        every = {max(each.opts, key=len) for each in predict.params if each.opts[0].startswith("-")}
        assert every <= set(shown)
        assert all("[default: " in shown[name] for name in every)
        assert "[default: 0.5]" in shown["--score"]
        assert "[default: mrcnn-out]" in shown["--output"]
        assert "RANGE" not in text
        assert "Other:" not in text


def test_help_of_the_program_names_commands_and_exit_codes(run: Run) -> None:
    text = success(run("--help")).stdout
    assert re.search(r"^  predict +\w", text, flags=re.MULTILINE)
    assert re.search(r"^  backends +\w", text, flags=re.MULTILINE)
    for code in (0, 1, 2, 3, 4, 5, 6, 130):
        assert re.search(rf"\b{code}  +[a-z]", text)
    assert run().stderr == text
    assert run().returncode == 2


def test_version_whatever_comes_after_it(run: Run) -> None:
    assert success(run("--version")).stdout == f"mrcnn-cv {__version__}\n"
    assert success(run("--version", "--model", "x.pb")).stdout == f"mrcnn-cv {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"], ["backends", "--help"], ["--version"]])
def test_help_and_version_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    result = execute([sys.executable, "-X", "importtime", "-m", "mrcnn_cv", *arguments], None, cwd=tmp_path)
    assert result.returncode == 0
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines()}
    assert "mrcnn_cv" in imported
    assert not imported & {"numpy", "cv2", "google"}


def test_names_spelled_out_for_the_help_are_those_of_the_library() -> None:
    assert set(options.BACKENDS) == set(CHOICES)
    assert tuple(FORMATS) == options.FORMATS
    assert options.STYLE_PARTS == PARTS


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["photo.png", "--bogus"], "there is no option --bogus"),
        (["photo.png", "--modle", "x.pb"], "--model"),
        (["-x.png"], "comes after --"),
        (["photo.png", "--output"], "--output needs a value"),
        (["photo.png", "--score", "2"], "--score must be a number from 0 to 1 or 'model', not '2'"),
        (["photo.png", "--score", "nan"], "--score must be a number"),
        (["photo.png", "--score", "0,5"], "not '0,5'"),
        (["photo.png", "--mask-threshold", "-1"], "--mask-threshold must be a number from 0 to 1, not '-1'"),
        (["photo.png", "--nms", "50%"], "--nms must be"),
        (["photo.png", "--opacity", "inf"], "--opacity must be"),
        (["photo.png", "--max-instances", "0"], "--max-instances must be a whole number from 1"),
        (["photo.png", "--threads", "0"], "--threads must be a whole number from 1"),
        (["photo.png", "--threads", "99999999999"], "--threads must be"),
        (["photo.png", "--line-width", "1.5"], "--line-width must be a whole number"),
        (["photo.png", "--save", "overlays"], "--save does not know 'overlays': did you mean 'overlay'?"),
        (["photo.png", "--save", "xml"], "choose from overlay, frames, json, jsonl, "),
        (["photo.png", "--save", "none,json"], "--save takes either 'none' or something else"),
        (["photo.png", "--save", ","], "--save is empty"),
        (["photo.png", "--hide", "label"], "did you mean 'labels'?"),
        (["photo.png", "--hide", "eyes"], "choose from labels, boxes, scores, masks, contours"),
        (["photo.png", "--color-by", "colour"], "--color-by does not know 'colour': choose from instance, class"),
        (["photo.png", "--backend", "gpu"], "--backend does not know 'gpu': choose from auto, cpu, openvino"),
        (["photo.png", "--backend", "cdua"], "did you mean 'cuda'?"),
        (["photo.png", "--labels", ""], "--labels is empty"),
        (["photo.png", ""], "a source is empty"),
        (["--score", "0.5"], "SOURCE is missing"),
        (["predict"], "SOURCE is missing"),
        (["--score", "0.5", "predict", "photo.png"], "the word 'predict' comes first"),
        (["backend"], "there is no file or command 'backend': did you mean 'backends'?"),
        (["version"], "did you mean '--version'?"),
        (["backends", "photo.png"], "extra argument (photo.png)"),
        (["photo.png", "--show"], "a window needs a display"),
        (["clip.mp4", "--max-fps", "1e-6"], "--max-fps must be a number of frames per second"),
    ],
)
def test_wrong_usage(run: Run, tmp_path: Path, arguments: list[str], says: str) -> None:
    # The model does not exist: a mistake on the command line is told before anything is looked for.
    message = refusal(run(*arguments, env={"MRCNN_CV_MODEL": "missing.pb"}), 2)
    assert says in message
    assert not list(tmp_path.iterdir())


def test_wrong_value_of_the_environment_names_the_variable(find: Run, photo_path: Path) -> None:
    message = refusal(find(photo_path, env={"MRCNN_CV_SCORE": "high"}), 2)
    assert message.startswith("MRCNN_CV_SCORE in the environment (--score) must be a number")
    message = refusal(find(photo_path, env={"MRCNN_CV_QUIET": "hush"}), 2)
    assert "MRCNN_CV_QUIET in the environment (--quiet) must be 1 or 0" in message


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OPENCV_IO_MAX_IMAGE_PIXELS", "1e9"),
        ("OPENCV_IO_MAX_IMAGE_PIXELS", ""),
        ("OPENCV_FOR_THREADS_NUM", "-4"),
        ("OPENCV_VIDEOIO_DEBUG", "yes"),
    ],
)
def test_variables_that_opencv_cannot_read_do_not_abort(find: Run, photo_path: Path, variable: str, value: str) -> None:
    if sys.platform == "win32" and not value:
        pytest.skip("Windows has no empty variables")
    message = refusal(find(photo_path, env={variable: value}), 2)
    assert f"OpenCV does not start with these environment variables, correct or unset them: {variable}='" in message


@pytest.mark.parametrize(
    ("option", "value"), [("json", "a\\u0000b"), ("output", "a\\u0000b"), ("serve", "a\\u0000b:0")]
)
def test_a_zero_byte_in_a_file_of_options(find: Run, tmp_path: Path, photo_path: Path, option: str, value: str) -> None:
    (tmp_path / "mrcnn-cv.toml").write_text(f'{option} = "{value}"\n', encoding="utf-8")
    assert f"--{option} in the configuration file" in refusal(find(photo_path), 2)


def test_a_file_of_options_may_begin_with_a_byte_order_mark(find: Run, tmp_path: Path, photo_path: Path) -> None:
    (tmp_path / "mrcnn-cv.toml").write_bytes(b"\xef\xbb\xbfscore = 2\r\n")
    assert "--score in the configuration file must be a number" in refusal(find(photo_path), 2)


@pytest.mark.parametrize(
    ("words", "index", "expected"),
    [
        ("mrcnn-cv ba", 1, {"plain,backends", "file,ba"}),
        ("mrcnn-cv --mo", 1, {"plain,--model"}),
        ("mrcnn-cv photo.jpg --backend opencl", 3, {"plain,opencl", "plain,opencl-fp16"}),
        ("mrcnn-cv photo.jpg --hide labels,b", 3, {"plain,labels,boxes"}),
        ("mrcnn-cv photo.jpg --output o", 3, {"dir,o"}),
        ("mrcnn-cv photo.jpg other", 2, {"file,other"}),
    ],
)
def test_shell_completion(run: Run, words: str, index: int, expected: set[str]) -> None:
    env = {"_MRCNN_CV_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(index)}
    assert set(run(env=env).stdout.split()) == expected


@pytest.mark.parametrize("given", [{}, {"COMP_WORDS": "mrcnn-cv ba", "COMP_CWORD": "x"}])
def test_a_completion_that_lacks_what_the_shell_says_is_quiet(run: Run, given: dict[str, str]) -> None:
    result = run(env={"_MRCNN_CV_COMPLETE": "bash_complete", **given})
    assert (result.returncode, result.stdout, result.stderr) == (1, "", "")
