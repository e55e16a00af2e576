"""The backend that models are tested on; what agrees with TensorFlow on one of them has to agree on the others."""

from __future__ import annotations

import os

ENGINE = os.environ.get("MRCNN_CV_TEST_BACKEND", "cpu")
