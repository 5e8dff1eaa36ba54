"""Tasks: a prompt for an agent in a fresh container of its own, and what became of it."""
