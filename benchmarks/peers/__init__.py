"""The same orders on other systems, side by side with Throughline."""
