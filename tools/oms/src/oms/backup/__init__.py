"""Backups of the services' databases, as files, and what it takes to put them back."""
