"""What happened, written down by a process of its own before it takes effect."""
