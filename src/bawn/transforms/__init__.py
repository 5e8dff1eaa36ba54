"""Ready-made stages: what is often wanted between an agent and its model, by configuration alone."""
