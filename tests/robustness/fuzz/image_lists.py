"""Lists of images: texts and CSV files for --list."""

from __future__ import annotations

import random
from pathlib import Path

from mrcnn_cv.inputs.image_ref import load
from mrcnn_cv.inputs.images.directories import DirectoryScan
from mrcnn_cv.inputs.listing import list_images
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.structures.frame import Frame
from tests.robustness.fuzz.file_edits import NAMES, edited_bytes, encoded
from tests.robustness.fuzz.worker import make_again

EXIT_CODES = {2}

KINDS = ("list.txt", "list.csv")
"""They take turns."""

_TEXTS = {
    "list.txt": ["a.jpg\nb/c.jpg\n# d.jpg\n\n/tmp/e f.jpg\n", "\ufeffa.jpg\r\nb.jpg\r\n"],
    "list.csv": ['path,label\na.jpg,1\n"b,c.jpg",2\n', "id,file_name\n1,a.jpg\n2,\n", "image\r\na.jpg\r\n"],
}


def case(number: int, seed: int, folder: Path) -> Path:
    """One list."""
    kind = KINDS[number % len(KINDS)]
    chance = random.Random(f"{seed}/{number}")
    text = chance.choice(_TEXTS[kind])
    what = chance.randrange(10)
    if what == 0:
        long = chance.choice((1000, 100_000))
        pieces = (
            '"' * long,
            "," * long,
            "\n" * long,
            "path\n" + "a,\n" * long,
            'path\n"' + "x" * 2 * long,
            "a\n" * long,
        )
        text += chance.choice(pieces)
    elif what <= 5:
        text += "\n".join(chance.choice(NAMES) for _ in range(5))
    data = encoded(text)
    if what > 4:
        data = edited_bytes(data, chance)
    path = folder / kind
    path.write_bytes(data)
    return path


def attempt(path: Path) -> str:
    """List the images, try to read some of them, and name an output for each."""
    output = path.parent / "out"
    folder = OutputDirectory(output)
    for index, item in enumerate(list_images([], DirectoryScan(), [path]).items[:30]):
        assert not item.output_path.is_absolute()
        assert ".." not in item.output_path.parts
        frame = load(item, index)
        assert not isinstance(frame, Frame)
        assert str(frame.error).isprintable()
        assert item.path is not None
        place = folder.path_of(item.path, ".json", output_path=item.output_path)
        assert place.is_relative_to(output)
        assert ".." not in place.parts
    return "accepted"


if __name__ == "__main__":
    make_again(case, attempt)
