"""Images of numbers: whose instance, or of which class, every pixel is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mrcnn_cv.structures.instances import Instances

MAX_LABEL = 65_535
"""The largest number that 16 bits hold."""


def instance_labels(instances: Instances) -> NDArray[np.uint16]:
    """(H, W): 1 for the pixels of the first instance, 2 for the second, ...; 0 where nothing was found.

    Where masks overlap the better score counts. Instances beyond the 65,535 best are left out.
    """
    return _label_image(instances, range(1, min(len(instances), MAX_LABEL) + 1))


def class_ids(instances: Instances) -> NDArray[np.uint16]:
    """(H, W): the id of the class at each pixel, of the better score where masks overlap; 0 where nothing was found."""
    return _label_image(instances, instances.class_ids.tolist())


def _label_image(instances: Instances, values: Sequence[int]) -> NDArray[np.uint16]:
    image = np.zeros(instances.image_size, dtype=np.uint16)
    ranked = np.argsort(-instances.scores[: len(values)], kind="stable")
    for index in reversed(ranked.tolist()):
        top, left, mask = instances.local_mask(index)
        image[top : top + mask.shape[0], left : left + mask.shape[1]][mask] = values[index]
    return image
