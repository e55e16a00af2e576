"""Find instances in a camera or a stream."""
