"""The way of a model call: from a door, through admission and the stages, to a provider and back."""
