"""Make tiny but real matterport graphs, and what matterport's own `detect` answers, for the package's tests.

The model is built by the code of a PyPI package (README.md beside this), with a sixteenth of the channels. Weights are
stand-ins of two values, so that a graph packs small; batch-norm statistics and the predictors' scales are fitted on a
photo, so that boxes, classes and masks differ as they do in a trained model. The graphs know nothing of the world.

    python make_test_graphs.py plain ../../tests/data/matterport
"""

from __future__ import annotations

import argparse
import json
import lzma
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1] / "mrcnn_cv" / "importers" / "matterport" / "standalone"))
import code_of_2017  # noqa: E402
import freeze_matterport as freezing  # noqa: E402

PHOTOS = HERE.parent.parent / "tests" / "data" / "images"
FITTED_ON = "coffee"
CHANNELS = 16
SMALL = {
    "NAME": "tiny", "GPU_COUNT": 1, "IMAGES_PER_GPU": 1, "BATCH_SIZE": 1, "BACKBONE": "resnet50",
    "TOP_DOWN_PYRAMID_SIZE": 16, "NUM_CLASSES": 4, "IMAGE_MIN_DIM": 128, "IMAGE_MAX_DIM": 192,
    "PRE_NMS_LIMIT": 300, "POST_NMS_ROIS_INFERENCE": 60, "DETECTION_MAX_INSTANCES": 15,
    "DETECTION_MIN_CONFIDENCE": 0.4, "RPN_ANCHOR_SCALES": (16, 32, 64, 96, 128),
}  # fmt: skip
GRAPHS: dict[str, dict[str, Any]] = {
    # As TensorFlow 1 and Keras 2.1 wrote it: TimeDistributed reshapes, loops are made of plain nodes.
    "plain": {},
    # As a port to TensorFlow 2 writes it: TimeDistributed loops over the regions, loops are functions.
    "loops": {
        "NUM_CLASSES": 3, "IMAGE_MAX_DIM": 128, "RPN_ANCHOR_RATIOS": [0.6, 1.5], "RPN_ANCHOR_STRIDE": 2,
        "RPN_BBOX_STD_DEV": np.array([0.15, 0.1, 0.25, 0.2]), "BBOX_STD_DEV": np.array([0.2, 0.1, 0.3, 0.2]),
        "RPN_NMS_THRESHOLD": 0.6, "DETECTION_NMS_THRESHOLD": 0.4, "DETECTION_MIN_CONFIDENCE": 0, "PRE_NMS_LIMIT": 200,
        "MEAN_PIXEL": np.array([100.0, 110.0, 120.0]), "RPN_ANCHOR_SCALES": (12, 24, 48, 80, 120),
    },
    # Batch norm in its parts, as Keras wrote it before fused ones, and loops over the regions of plain nodes.
    "decomposed": {"NUM_CLASSES": 3, "IMAGE_MAX_DIM": 128},
    # Code of 2017, restated in code_of_2017.py.
    "pixels": {"IMAGE_MAX_DIM": 192},
}  # fmt: skip
ANSWERS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    # Answers by graph: photo, values of the Config that only `detect` looks at.
    "plain": {
        "square": ("coffee", {}),
        "square_tall": ("coffee_tall", {}),
        "square_small": ("astronaut", {"IMAGE_MIN_DIM": 300, "IMAGE_MAX_DIM": 256}),
        "pad64": ("coffee", {"IMAGE_RESIZE_MODE": "pad64", "IMAGE_MIN_SCALE": 1.3}),
        "none": ("astronaut_square", {"IMAGE_RESIZE_MODE": "none"}),
    },
    "loops": {"square": ("astronaut", {})},
    "decomposed": {"square": ("coffee", {})},
    "pixels": {"square": ("coffee", {})},
}  # fmt: skip
SPREADS = {
    "rpn_class_raw": 2.0, "rpn_bbox_pred": 1.0, "mrcnn_class_logits": 2.0, "mrcnn_bbox_fc": 1.0, "mrcnn_mask": 2.0,
    "fpn_": 1.0,
}  # fmt: skip
RESIDUAL_GAIN = 0.4
"""What a residual unit adds to its shortcut; random ones that add all amplify float noise beyond tolerance."""


def photo(name: str) -> NDArray[Any]:
    """(H, W, 3) uint8 RGB."""
    base, _, way = name.partition("_")
    image = cv2.imread(str(PHOTOS / f"{base}.png"))[:, :, ::-1]
    if way == "tall":
        image = image[:, :100]
    if way == "square":
        image = image[:192, :128]
    return np.ascontiguousarray(image)


class SmallLayers:
    """keras.layers with a sixteenth of the channels in all wide convolutions."""

    def __init__(self, layers: Any) -> None:
        self._layers = layers

    def __getattr__(self, name: str) -> Any:
        made = getattr(self._layers, name)
        if name not in ("Conv2D", "Conv2DTranspose"):
            return made
        return lambda filters, *others, **options: made(
            filters // CHANNELS if filters >= 64 else filters, *others, **options
        )


def build(graph: str) -> tuple[Any, Any]:
    """(TensorFlow, matterport's model), in the layout of `graph`."""
    looping: list[Any] = []
    patch = freezing._as_in_keras_2_1
    freezing._as_in_keras_2_1 = lambda layers: (looping.append(layers.TimeDistributed.__init__), patch(layers))
    tensorflow = freezing.prepare_tensorflow()
    import keras

    if graph == "loops":
        tensorflow.enable_control_flow_v2()
    if graph not in ("plain", "pixels"):
        keras.layers.TimeDistributed.__init__ = looping[0]
    # NumPy had these names until 1.24.
    np.bool = bool
    import mrcnn.model as code

    code.KL = SmallLayers(code.KL)
    if graph == "decomposed":
        norm = code.BatchNorm.__init__
        code.BatchNorm.__init__ = lambda self, **options: norm(self, fused=False, **options)
    config = freezing.build_config("mrcnn", None, {**SMALL, **GRAPHS[graph]})
    if graph == "pixels":
        code_of_2017.patch(code, tensorflow, config)
    return tensorflow, code.MaskRCNN(mode="inference", config=config, model_dir=".")


class Fitter:
    """Gives every layer of a model its stand-in weights, in the order of the net."""

    def __init__(self, tensorflow: Any, model: Any) -> None:
        self._tf, self._model = tensorflow, model
        self._session = tensorflow.keras.backend.get_session()
        self._rng = np.random.default_rng(7)
        molded, metas, _ = model.mold_inputs([photo(FITTED_ON)])
        anchors = model.get_anchors(molded[0].shape)[np.newaxis]
        self._feed = dict(
            zip([tensor.name for tensor in model.keras_model.inputs], (molded, metas, anchors), strict=True)
        )

    def fit(self) -> None:
        layers: list[Any] = []
        for layer in self._model.keras_model.layers:
            layers += layer.layers if hasattr(layer, "layers") else [layer]
        for layer in layers:
            inner = getattr(layer, "layer", layer)
            if inner.__class__.__name__.endswith("BatchNorm"):
                self._norm(layer, inner)
            elif inner.get_weights():
                self._weights(layer, inner)

    def _weights(self, layer: Any, inner: Any) -> None:
        kernel, bias = inner.get_weights()
        fan_in = np.prod(kernel.shape[:-1]) if "deconv" not in layer.name else kernel.shape[3]
        scale = np.sqrt(2.0 / fan_in)
        signs = self._rng.choice([-1.0, 1.0], kernel.shape)
        biases = self._rng.choice([-0.25, 0.125, 0.5], bias.shape)
        inner.set_weights([signs * scale, biases])
        spread = next((value for name, value in SPREADS.items() if layer.name.startswith(name)), None)
        if spread is not None and not layer.name.endswith(("_conv1", "conv2", "conv3", "conv4", "bn1")):
            found = self._run(layer, output=True)
            inner.set_weights([signs * scale * spread / max(found.std(), 1e-3), biases])

    def _norm(self, layer: Any, inner: Any) -> None:
        found = self._run(layer, output=False)
        axes = tuple(range(found.ndim - 1))
        # Few digits pack small.
        mean, variance = (np.float16(part(found, axis=axes)).astype(np.float32) for part in (np.mean, np.var))
        gain = RESIDUAL_GAIN if layer.name.endswith("branch2c") else 1.0
        gamma = gain * self._rng.choice([0.75, 1.25], mean.shape)
        inner.set_weights([gamma, self._rng.choice([-0.25, 0.25], mean.shape), mean, variance + 1e-2])

    def _run(self, layer: Any, output: bool) -> NDArray[Any]:
        """What goes into a layer, or comes out of it; of a nested model, at its first use."""
        node = layer.inbound_nodes[-1 if len(layer.inbound_nodes) == 1 else 1]
        tensor = node.outputs if output else node.input_tensors
        tensor = tensor[0] if isinstance(tensor, list) else tensor
        result: NDArray[Any] = self._session.run(tensor, self._feed)
        return result


def answer(model: Any, image: NDArray[Any], values: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """matterport's own answer for an image (RGB), and what it fed its net with."""
    for name, value in values.items():
        setattr(model.config, name, value)
    model._anchor_cache = {}
    molded, metas, windows = model.mold_inputs([image])
    anchors = model.get_anchors(molded[0].shape)[np.newaxis]
    detections, _, _, masks, rois, _, _ = model.keras_model.predict([molded, metas, anchors], verbose=0)
    count = int((detections[0, :, 4] > 0).sum())
    classes = detections[0, :count, 4].astype(int)
    own = masks[0, np.arange(count), :, :, classes]
    if detections[0, :, :4].max() > 2:
        found = answer_of_2017(model, detections[0, :count], own, windows[0], image.shape)
    else:
        found = model.detect([image])[0]
    return {
        "rois": found["rois"].astype(np.int32), "class_ids": found["class_ids"].astype(np.int32),
        "scores": found["scores"], "mask_shape": np.array(found["masks"].shape)[[2, 0, 1]],
        "masks": np.packbits(np.moveaxis(found["masks"], -1, 0)), "mask_probabilities": own.astype(np.float16),
        "detections": detections[0, :count], "window": np.array(windows[0]), "proposals": rois[0],
        "input_shape": np.array(molded.shape), "input_every_8th": molded[:, ::8, ::8],
    }  # fmt: skip


def answer_of_2017(
    model: Any, detections: NDArray[Any], masks: NDArray[Any], window: NDArray[Any], shape: tuple[int, ...]
) -> dict[str, NDArray[Any]]:
    """What `detect` made of detections in pixels."""
    from mrcnn import utils

    boxes = code_of_2017.in_photo(detections[:, :4], window, shape)
    kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    pasted = [utils.unmold_mask(mask, box, shape) for mask, box in zip(masks[kept], boxes[kept], strict=True)]
    return {
        "rois": boxes[kept], "class_ids": detections[kept, 4], "scores": detections[kept, 5],
        "masks": np.stack(pasted, axis=-1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("graph", choices=GRAPHS)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    tensorflow, model = build(arguments.graph)
    Fitter(tensorflow, model).fit()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    frozen = freezing.freeze_model(tensorflow, model.keras_model)
    packed = lzma.compress(frozen, preset=9 | lzma.PRESET_EXTREME)
    (folder / f"{arguments.graph}.pb.xz").write_bytes(packed)
    print(arguments.graph, len(frozen), len(packed))
    for name, (picture, changed) in ANSWERS[arguments.graph].items():
        arrays = {"photo": np.array(picture), **answer(model, photo(picture), changed)}
        (folder / f"{arguments.graph}_{name}.json").write_text(json.dumps(freezing.config_values(model.config)) + "\n")
        np.savez_compressed(str(folder / f"{arguments.graph}_{name}.npz"), **arrays)
        print(name, arrays["input_shape"], len(arrays["rois"]), arrays["class_ids"], arrays["scores"].round(3))
        for key in changed:
            setattr(model.config, key, {**SMALL, "IMAGE_RESIZE_MODE": "square", "IMAGE_MIN_SCALE": 0}[key])


if __name__ == "__main__":
    main()
