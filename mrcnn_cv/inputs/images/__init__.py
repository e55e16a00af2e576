"""Images: files, directories, patterns, archives, lists, addresses."""
