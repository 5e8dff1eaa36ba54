"""The boxes: what a container may be (`spec`), how it is made (`runtime` and its two kinds), how a door is put into it."""
