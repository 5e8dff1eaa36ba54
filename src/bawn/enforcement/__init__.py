"""Carries out what rules say: on requests, on answers, on tool calls, and beside them."""
