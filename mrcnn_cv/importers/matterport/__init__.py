"""matterport's Mask_RCNN as a frozen TensorFlow graph."""
