"""Train the demo model with the Object Detection API's own model and losses, until a fixed time.

The learning rate follows the wall clock, not a number of steps: warm-up, then half a cosine down to zero at the end.
A busy or suspended machine therefore costs steps, never the end of the schedule.
"""

from __future__ import annotations

import argparse
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import extractor  # noqa: F401  (registers the demo model's feature extractor)
import numpy as np
import odapi
import tensorflow.compat.v1 as tf
from scene_store import Batch, SceneStore
from tensorflow.python.framework import errors

WARM_UP_STEPS = 200
LOG_EVERY = 50
SHORT_NAMES = {
    "Loss/RPNLoss/localization_loss": "rpn_box",
    "Loss/RPNLoss/objectness_loss": "rpn_object",
    "Loss/BoxClassifierLoss/localization_loss": "box",
    "Loss/BoxClassifierLoss/classification_loss": "class",
    "Loss/BoxClassifierLoss/mask_loss": "mask",
}


@dataclass(frozen=True)
class Inputs:
    """Placeholders of one batch; see `scene_store.Batch` for shapes."""

    images: tf.Tensor
    instance_maps: tf.Tensor
    boxes: tf.Tensor
    classes: tf.Tensor
    counts: tf.Tensor

    @classmethod
    def create(cls, batch: Batch) -> Inputs:
        """Placeholders with exactly the shapes and types of `batch`."""
        names = ("images", "instance_maps", "boxes", "classes", "counts")
        arrays = [getattr(batch, name) for name in names]
        return cls(*(tf.placeholder(a.dtype, a.shape, n) for n, a in zip(names, arrays, strict=True)))

    def feed(self, batch: Batch) -> dict[tf.Tensor, np.ndarray]:
        """The `feed_dict` of a batch."""
        return {placeholder: getattr(batch, name) for name, placeholder in vars(self).items()}


def build_losses(pipeline: object, inputs: Inputs) -> dict[str, tf.Tensor]:
    """The API's losses for a batch of images that already have the network's input size."""
    model = odapi.model_builder.build(pipeline.model, is_training=True)
    boxes, classes, masks = [], [], []
    for index in range(inputs.images.shape[0].value):
        # One slot is always there: the API's matcher cannot take an image without any groundtruth row.
        # The slot of an empty image has weight zero and no area, so that nothing can match it.
        rows = tf.maximum(inputs.counts[index], 1)
        ids = tf.range(1, rows + 1, dtype=tf.int32)[:, None, None]
        boxes.append(inputs.boxes[index, :rows])
        classes.append(tf.one_hot(inputs.classes[index, :rows], pipeline.model.faster_rcnn.num_classes))
        masks.append(tf.cast(tf.equal(tf.cast(inputs.instance_maps[index], tf.int32)[None], ids), tf.float32))
    weights = [tf.cast(tf.range(tf.maximum(n, 1)) < n, tf.float32) for n in tf.unstack(inputs.counts)]
    model.provide_groundtruth(boxes, classes, masks, groundtruth_weights_list=weights)
    shape = tf.constant([inputs.images.shape.as_list()[1:]] * len(boxes), tf.int32)
    pixels = model.feature_extractor.preprocess(tf.cast(inputs.images, tf.float32))
    return model.loss(model.predict(pixels, shape), shape)


def build_train_op(loss: tf.Tensor, rate: tf.Tensor, step: tf.Tensor) -> tf.Operation:
    """Adam on clipped gradients; the batch-norm averages are updated along with it."""
    optimizer = tf.train.AdamOptimizer(rate, epsilon=1e-5)
    gradients, variables = zip(*optimizer.compute_gradients(loss), strict=True)
    clipped, _ = tf.clip_by_global_norm(gradients, 10.0)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        return optimizer.apply_gradients(zip(clipped, variables, strict=True), global_step=step)


def learning_rate(peak: float, step: int, elapsed: float) -> float:
    """Rate after `step` steps when the fraction `elapsed` (0 to 1) of the time has gone."""
    return peak * min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * min(elapsed, 1.0)))


class Log:
    """Running means of the losses, one line per `LOG_EVERY` steps, on the terminal and in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[list[float]] = []
        self._since = time.time()
        self._waited = 0.0

    def add(self, step: int, losses: dict[str, float], rate: float, waited: float) -> None:
        """Note one step; `waited` is the time in seconds that its data took."""
        self._rows.append(list(losses.values()))
        self._waited += waited
        if step % LOG_EVERY:
            return
        means = np.mean(self._rows, axis=0)
        per_step = (time.time() - self._since) / len(self._rows)
        parts = " ".join(f"{SHORT_NAMES[k]} {m:.3f}" for k, m in zip(losses, means, strict=True))
        line = (
            f"{datetime.now(timezone.utc):%H:%M:%S} step {step} loss {means.sum():.3f} {parts} rate {rate:.2e} "
            f"{per_step:.3f} s/step (data {self._waited / len(self._rows):.3f})"
        )
        print(line, flush=True)
        with self._path.open("a") as file:
            file.write(line + "\n")
        self._rows, self._since, self._waited = [], time.time(), 0.0


def restore(session: tf.Session, saver: tf.train.Saver, directory: Path, warm_start: str | None) -> None:
    """Continue from the newest checkpoint in `directory`, else from those variables of `warm_start` that still fit."""
    session.run(tf.global_variables_initializer())
    newest = tf.train.latest_checkpoint(str(directory))
    if newest:
        saver.restore(session, newest)
    elif warm_start:
        shapes = dict(tf.train.list_variables(warm_start))
        fitting = [v for v in tf.global_variables() if shapes.get(v.op.name) == v.shape.as_list()]
        tf.train.Saver(fitting).restore(session, warm_start)
        left = sorted(v.op.name for v in set(tf.trainable_variables()) - set(fitting))
        print(f"starting from {warm_start}; new: {', '.join(left) or 'nothing'}", flush=True)


def stop_requests() -> list[int]:
    """A list that gets an entry when the process is asked to stop (SIGTERM or Ctrl-C), so that it can save first."""
    requests: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: requests.append(received))
    return requests


def train(arguments: argparse.Namespace, start: float, end: float, on_checkpoint: Callable[[str], None]) -> str:
    """Train until `end` (seconds since the epoch); returns the last checkpoint's prefix."""
    pipeline = odapi.read_pipeline(arguments.pipeline)
    store = SceneStore.open(arguments.scenes)
    batch_size = pipeline.train_config.batch_size
    rng = np.random.default_rng()
    inputs = Inputs.create(store.sample(rng, batch_size))
    step_variable = tf.train.get_or_create_global_step()
    losses = build_losses(pipeline, inputs)
    rate = tf.placeholder(tf.float32, ())
    train_op = build_train_op(tf.add_n(list(losses.values())), rate, step_variable)
    saver = tf.train.Saver(max_to_keep=4)
    config = tf.ConfigProto(intra_op_parallelism_threads=arguments.threads, inter_op_parallelism_threads=2)
    arguments.directory.mkdir(parents=True, exist_ok=True)
    log = Log(arguments.directory / "train.log")
    prefix = str(arguments.directory / "model.ckpt")
    with tf.Session(config=config) as session:
        restore(session, saver, arguments.directory, arguments.warm_start)
        step, saved = session.run(step_variable), time.time()
        stopping = stop_requests()
        while time.time() < end and not stopping:
            before = time.time()
            batch = store.sample(rng, batch_size)
            waited = time.time() - before
            current = learning_rate(arguments.rate, step, (before - start) / (end - start))
            values, _ = session.run([losses, train_op], {**inputs.feed(batch), rate: current})
            step += 1
            if not np.isfinite(sum(values.values())):
                raise errors.InvalidArgumentError(None, None, f"the loss is not finite at step {step}: {values}")
            log.add(step, values, current, waited)
            if time.time() - saved > 60 * arguments.checkpoint_minutes:
                on_checkpoint(saver.save(session, prefix, global_step=step))
                saved = time.time()
        return saver.save(session, prefix, global_step=step)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).parent
    parser.add_argument("--scenes", type=Path, required=True, help="folder that make_data.py fills with scenes")
    parser.add_argument("--directory", type=Path, required=True, help="folder for checkpoints and train.log")
    parser.add_argument("--pipeline", type=Path, default=here / "pipeline.config")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, help="train for so long")
    length.add_argument("--until", type=datetime.fromisoformat, help="train until then, e.g. 2026-01-31T06:55+00:00")
    parser.add_argument("--since", type=datetime.fromisoformat, help="when the schedule began, if this run resumes one")
    parser.add_argument("--warm-start", help="checkpoint of another run, for a changed network or other classes")
    parser.add_argument("--rate", type=float, default=2e-3, help="the highest learning rate")
    parser.add_argument("--threads", type=int, default=0, help="threads of TensorFlow; 0: one per core")
    parser.add_argument("--checkpoint-minutes", type=float, default=4.0)
    return parser.parse_args()


def main() -> None:
    """Train, then say where the checkpoint is."""
    arguments = parse_arguments()
    start = arguments.since.timestamp() if arguments.since else time.time()
    end = arguments.until.timestamp() if arguments.until else start + 60 * arguments.minutes
    last = train(arguments, start, end, lambda prefix: print(f"checkpoint {prefix}", flush=True))
    print(f"done: {last}")


if __name__ == "__main__":
    main()
