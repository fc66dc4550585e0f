"""What waits for a person, and what became of it when somebody dealt with it: documents of the engine."""
