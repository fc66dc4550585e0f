"""oms: run Throughline, place orders, follow, replay and audit them."""
