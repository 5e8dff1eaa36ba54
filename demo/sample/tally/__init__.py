"""A tiny package with a bug in it: the task of the demo."""
