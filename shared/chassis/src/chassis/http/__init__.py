"""What the HTTP APIs of all services share: the shell around their routes, and how they ask, answer and refuse."""
