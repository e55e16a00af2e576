"""ONNX Runtime: on the processor, and on whatever one of its packages has a provider for."""
