"""Quickstudy: point it at labelled examples, and it learns the rule."""
