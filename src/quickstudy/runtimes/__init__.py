"""What runs an exported file, and answers as the model does: nothing here needs torch."""
