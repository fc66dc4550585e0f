"""MongoDB behind the ports: the journal, the checkpoints and the documents; also as others read and restore them."""
