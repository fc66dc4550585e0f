"""DBOS: durable functions in a library, on PostgreSQL alone."""
