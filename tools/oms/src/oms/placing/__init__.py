"""What a channel and a warehouse send: orders and stock, from files, at a pace, followed to their end."""
