"""Books parcels with a carrier and follows them."""
