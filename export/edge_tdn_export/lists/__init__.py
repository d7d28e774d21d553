"""Read published lists of videos and files of labels, each recognised by its content."""
