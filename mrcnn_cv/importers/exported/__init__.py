"""Models that mrcnn-cv itself has exported: a folder with model.json and a net in each ONNX file."""
