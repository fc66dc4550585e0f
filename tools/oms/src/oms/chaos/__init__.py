"""Breaks the real system while orders flow through it, and proves that nothing comes of it but a pause."""
