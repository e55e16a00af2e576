"""Mutated files by the thousand, each tried in a child process: none may crash, hang or fill mrcnn-cv."""
