"""What leaves the machine: shards with their commit records, and the sealed manifest."""
