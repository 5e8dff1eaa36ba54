"""The one process with rights: it makes boxes and doors, keeps their descriptors, and starts the other processes."""
