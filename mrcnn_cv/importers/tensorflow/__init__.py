"""Read frozen TensorFlow graphs and cut nets out of them."""
