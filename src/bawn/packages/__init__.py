"""The packages door: a mirror of the host's own pip and npm registries that shows only what may be installed."""
