"""Ten lines with ONNX Runtime on the whole file, two threads, one image written.

python onnxruntime_script.py model.onnx photo.jpg painted.jpg
"""

from __future__ import annotations

import sys

import cv2
import numpy as np
import onnxruntime

model, photo, written = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 2
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
image = cv2.imread(photo)
assert image is not None
pixels = image[:, :, ::-1].transpose(2, 0, 1).astype(np.float32) / 255
wanted = session.get_inputs()[0]
pixels = pixels if len(wanted.shape) == 3 else pixels[np.newaxis]
boxes, labels, scores, masks = session.run(None, {wanted.name: pixels})
for mask in masks[scores > 0.5][:5, 0] > 0.5:
    image[mask] = (0.5 * image[mask] + 0.5 * np.array([0, 0, 255])).astype(np.uint8)
cv2.imwrite(written, image)
