"""Limits that hold, and the books of what was used and refused."""
