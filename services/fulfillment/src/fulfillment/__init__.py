"""Has orders picked and packed."""
