"""From the text of a configuration file to a model, or to every mistake in it with its line."""
