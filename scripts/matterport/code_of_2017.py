"""The layers of matterport's code of 2017, restated: no package of it is left to run.

Boxes are counted in pixels of the input, anchors are a constant, detections are rounded before they are suppressed.
Source: matterport/Mask_RCNN, model.py as of December 2017 (ProposalLayer, refine_detections_graph, unmold_detections).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def patch(code: Any, tf: Any, config: Any) -> None:
    """Put the layers of 2017 in the place of those of `mrcnn.model`."""
    height, width = (int(side) for side in config.IMAGE_SHAPE[:2])
    sides = np.array([height, width, height, width], np.float32)
    anchors = code.utils.generate_pyramid_anchors(
        config.RPN_ANCHOR_SCALES,
        config.RPN_ANCHOR_RATIOS,
        code.compute_backbone_shapes(config, config.IMAGE_SHAPE),
        config.BACKBONE_STRIDES,
        config.RPN_ANCHOR_STRIDE,
    ).astype(np.float32)

    def propose(self: Any, inputs: list[Any]) -> Any:
        scores = inputs[0][:, :, 1][0]
        deltas = (inputs[1] * np.reshape(config.RPN_BBOX_STD_DEV, [1, 1, 4]))[0]
        best = tf.nn.top_k(scores, min(config.PRE_NMS_LIMIT, len(anchors)), sorted=True).indices
        boxes = code.apply_box_deltas_graph(tf.gather(anchors, best), tf.gather(deltas, best))
        boxes = code.clip_boxes_graph(boxes, np.array([0, 0, height, width], np.float32))
        normalized = boxes / sides[np.newaxis]
        kept = tf.image.non_max_suppression(
            normalized, tf.gather(scores, best), self.proposal_count, self.nms_threshold
        )
        proposals = tf.gather(normalized, kept)
        missing = tf.maximum(self.proposal_count - tf.shape(proposals)[0], 0)
        return tf.expand_dims(tf.pad(proposals, [(0, missing), (0, 0)]), 0)

    def refine(rois: Any, probs: Any, deltas: Any, window: Any, _: Any) -> Any:
        class_ids = tf.argmax(probs, axis=1, output_type=tf.int32)
        own = tf.stack([tf.range(probs.shape[0]), class_ids], axis=1)
        scores = tf.gather_nd(probs, own)
        boxes = code.apply_box_deltas_graph(rois, tf.gather_nd(deltas, own) * config.BBOX_STD_DEV)
        boxes = code.clip_boxes_graph(boxes * tf.constant(sides), window)
        boxes = tf.to_int32(tf.rint(boxes))
        keep = tf.where((class_ids > 0) & (scores >= config.DETECTION_MIN_CONFIDENCE))[:, 0]
        limit = config.DETECTION_MAX_INSTANCES

        def of_class(class_id: Any) -> Any:
            ixs = tf.where(tf.equal(tf.gather(class_ids, keep), class_id))[:, 0]
            chosen = tf.image.non_max_suppression(
                tf.to_float(tf.gather(tf.gather(boxes, keep), ixs)),
                tf.gather(tf.gather(scores, keep), ixs),
                limit,
                config.DETECTION_NMS_THRESHOLD,
            )
            found = tf.gather(keep, tf.gather(ixs, chosen))
            return tf.reshape(tf.pad(found, [(0, limit - tf.shape(found)[0])], constant_values=-1), [limit])

        found = tf.reshape(tf.map_fn(of_class, tf.unique(tf.gather(class_ids, keep))[0], dtype=tf.int64), [-1])
        found = tf.gather(found, tf.where(found > -1)[:, 0])
        top = tf.nn.top_k(tf.gather(scores, found), k=tf.minimum(tf.shape(found)[0], limit), sorted=True).indices
        found = tf.gather(found, top)
        rows = [tf.to_float(tf.gather(boxes, found)), tf.to_float(tf.gather(class_ids, found))[:, None]]
        detections = tf.concat([*rows, tf.gather(scores, found)[:, None]], axis=1)
        return tf.pad(detections, [(0, limit - tf.shape(detections)[0]), (0, 0)])

    def detect(self: Any, inputs: list[Any]) -> Any:
        rois, probs, deltas, meta = (one[0] for one in inputs)
        detections = refine(rois, probs, deltas, meta[7:11], config)
        return tf.reshape(detections, [1, config.DETECTION_MAX_INSTANCES, 6])

    code.ProposalLayer.call, code.DetectionLayer.call = propose, detect
    mask_graph = code.build_fpn_mask_graph
    code.build_fpn_mask_graph = lambda rois, *others, **options: mask_graph(
        code.KL.Lambda(lambda boxes: boxes / sides)(rois), *others, **options
    )


def in_photo(boxes: NDArray[Any], window: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Boxes (N, 4) y1 x1 y2 x2 in whole pixels of the photo."""
    top, left, bottom, right = window
    scale = min(shape[0] / (bottom - top), shape[1] / (right - left))
    return ((boxes - np.array([top, left, top, left])) * scale).astype(np.int32)
