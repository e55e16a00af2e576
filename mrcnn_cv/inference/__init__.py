"""The five steps of a Mask R-CNN in numpy, and the predictor that runs them."""
