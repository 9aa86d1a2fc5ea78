"""Tables: one row is one example."""
