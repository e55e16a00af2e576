"""torchvision and Detectron2 as ONNX files."""
