"""TensorFlow's Object Detection API as a frozen graph."""
