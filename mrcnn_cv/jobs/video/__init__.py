"""Find instances in video files: the annotated video, its sound, and checkpoints by which a run goes on."""
