"""Let mrcnn-cv write COCO results for a data set of make_data.py, so that evaluate.py can measure it.

    python results_of_mrcnn_cv.py work/test test_results.json [--model work/model] [--backend cpu]

Runs where mrcnn-cv is installed; needs no TensorFlow.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from mrcnn_cv import MaskRCNN
from mrcnn_cv.hub import demo_model
from mrcnn_cv.inputs.images.files import read_image


def results(model: MaskRCNN, data: Path) -> list[dict[str, Any]]:
    """COCO results of all images of a data set, at the model's own score threshold."""
    rows = []
    for image in json.loads((data / "annotations.json").read_text())["images"]:
        found = model.predict(read_image(data / "images" / image["file_name"]), score_threshold=None)
        for instance in found.to_dict()["instances"]:
            left, top, right, bottom = instance["box"]
            rows.append(
                {
                    "image_id": image["id"],
                    "category_id": instance["class_id"],
                    "score": instance["score"],
                    "bbox": [left, top, right - left, bottom - top],
                    "segmentation": instance["mask"],
                }
            )
    return rows


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of images/ and annotations.json")
    parser.add_argument("output", type=Path, help="file for the COCO results")
    parser.add_argument("--model", type=Path, help="frozen graph or its folder (default: the bundled demo model)")
    parser.add_argument("--backend", default="cpu")
    arguments = parser.parse_args()
    model = MaskRCNN.load(arguments.model or demo_model(), backend=arguments.backend)
    found = results(model, arguments.data)
    arguments.output.write_text(json.dumps(found))
    print(f"{len(found)} instances in {arguments.output}")


if __name__ == "__main__":
    main()
