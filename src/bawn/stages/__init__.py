"""What a stage of the AI door is: the step between a request and its provider that reads, changes, answers or refuses."""
