"""Pictures: decode one file, augment a batch."""
