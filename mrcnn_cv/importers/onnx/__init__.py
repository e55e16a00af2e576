"""Read ONNX files and cut nets out of them."""
