#!/usr/bin/env bash
# OpenCV 4.14.0's DetectionOutput compares the name of its box encoding in small letters, made by the locale of the
# process: where the small "I" is no "i" (Turkish, Azerbaijani), CENTER_SIZE is not known and boxes are decoded as CORNER,
# without a word. Every SSD and every whole Faster R-CNN in cv2.dnn is affected; Python sets no locale by itself, but
# GUIs and locale.setlocale(LC_ALL, "") do, and Python 3 takes LC_CTYPE from the environment.
# Ends with an error where that is no longer so. Takes 300 MB and a minute; leaves nothing behind. Needs Linux's localedef.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
localedef -i tr_TR -f ISO-8859-9 "$work/tr_TR" 2>/dev/null || localedef -i tr_TR -f UTF-8 "$work/tr_TR"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "opencv-python-headless==4.14.0.94" "numpy>=2"
LOCPATH="$work" "$work/venv/bin/python" - <<'PYTHON'
import locale

import cv2
import numpy as np

print("OpenCV", cv2.__version__)
PROTOTXT = b"""
name: "one"
input: "loc"  input_shape { dim: 1 dim: 4 }
input: "conf" input_shape { dim: 1 dim: 2 }
input: "prior" input_shape { dim: 1 dim: 2 dim: 4 }
layer { name: "found" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior" top: "found"
  detection_output_param { num_classes: 2 share_location: true background_label_id: 0 code_type: CENTER_SIZE
    nms_param { nms_threshold: 0.5 top_k: 10 } keep_top_k: 10 confidence_threshold: 0.1 } }
"""


def box():
    net = cv2.dnn.readNetFromCaffe(np.frombuffer(PROTOTXT, np.uint8))
    net.setInput(np.array([[1, 0, 0, 0]], np.float32), "loc")
    net.setInput(np.array([[0.1, 0.9]], np.float32), "conf")
    # A prior from 0.2 to 0.6 on both axes, and its variances.
    net.setInput(np.array([[[0.2, 0.2, 0.6, 0.6], [0.1, 0.1, 0.2, 0.2]]], np.float32), "prior")
    return net.forward()[0, 0, 0, 3:]


locale.setlocale(locale.LC_ALL, "C")
right = box()
locale.setlocale(locale.LC_ALL, "tr_TR")
turkish = box()
print("C:", right, "tr_TR:", turkish)
# A tenth of the variance times the width to the right.
assert np.allclose(right, [0.24, 0.2, 0.64, 0.6], atol=1e-3), "C's box is another one now"
assert not np.allclose(right, turkish, atol=1e-3), "it is right now"
PYTHON
