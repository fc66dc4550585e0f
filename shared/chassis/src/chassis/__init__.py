"""What every service stands on: partitions, journal, links, calls, alarms."""
