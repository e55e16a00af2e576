"""The package openvino."""
