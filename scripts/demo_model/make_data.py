"""Make scenes: a ring of training scenes that is refilled for ever, or a data set as COCO JSON and PNG images."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
from geometry import CLASS_NAMES
from pycocotools import mask as coco_mask
from scene_store import SceneStore
from scenes import HEIGHT, WIDTH, Scene, make_scene


def fill_store(folder: Path, capacity: int, per_second: float, empty_share: float) -> None:
    """Fill a ring as fast as possible, then keep replacing the oldest scenes at `per_second`, for ever."""
    # The scenes have the size to which image_resizer in pipeline.config brings them: nothing to resize.
    store = SceneStore.resume(folder, capacity, HEIGHT, WIDTH)
    while True:
        started = time.time()
        scene = make_scene("train", store.written, empty_share)
        boxes = scene.boxes() / np.float32([HEIGHT, WIDTH, HEIGHT, WIDTH])
        store.put(scene.image, scene.instance_map, boxes, np.array(scene.class_ids, np.int32))
        if store.written > store.capacity:
            time.sleep(max(0.0, started + 1 / per_second - time.time()))


def annotations(scene: Scene, image_id: int, first_id: int) -> list[dict]:
    """COCO annotations of one scene, with run-length encoded masks."""
    rows = []
    for offset, (class_id, box) in enumerate(zip(scene.class_ids, scene.boxes().tolist(), strict=True)):
        mask = np.asfortranarray(scene.instance_map == offset + 1, dtype=np.uint8)
        code = coco_mask.encode(mask)
        rows.append(
            {
                "id": first_id + offset,
                "image_id": image_id,
                "category_id": class_id + 1,
                "bbox": [box[1], box[0], box[3] - box[1], box[2] - box[0]],
                "area": int(mask.sum()),
                "iscrowd": 0,
                "segmentation": {"size": code["size"], "counts": code["counts"].decode()},
            }
        )
    return rows


def write_coco(folder: Path, split: str, count: int) -> None:
    """Write `count` scenes as `images/*.png` and `annotations.json`; category ids run from 1."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASS_NAMES, start=1)]
    data: dict[str, list] = {"images": [], "annotations": [], "categories": categories}
    for index in range(count):
        scene = make_scene(split, index)
        name = f"{split}_{index:05d}.png"
        cv2.imwrite(str(folder / "images" / name), scene.image[..., ::-1])
        height, width = scene.instance_map.shape
        data["images"].append({"id": index + 1, "file_name": name, "height": height, "width": width})
        data["annotations"] += annotations(scene, index + 1, len(data["annotations"]) + 1)
    (folder / "annotations.json").write_text(json.dumps(data))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    ring = commands.add_parser("ring", help="fill a ring of training scenes until stopped")
    ring.add_argument("folder", type=Path)
    ring.add_argument("--capacity", type=int, default=4000, help="scenes kept; 0.7 MB each")
    ring.add_argument("--per-second", type=float, default=8.0, help="scenes made per second once the ring is full")
    ring.add_argument("--empty-share", type=float, default=0.25, help="share of scenes without any shape")
    coco = commands.add_parser("coco", help="write a data set: COCO JSON and PNG images")
    coco.add_argument("folder", type=Path)
    coco.add_argument("--split", choices=["train", "val", "test", "empty"], default="test")
    coco.add_argument("--count", type=int, default=300)
    arguments = parser.parse_args()
    if arguments.command == "ring":
        fill_store(arguments.folder, arguments.capacity, arguments.per_second, arguments.empty_share)
    else:
        write_coco(arguments.folder, arguments.split, arguments.count)


if __name__ == "__main__":
    main()
