"""Sound: decode one file, augment a batch."""
