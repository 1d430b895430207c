"""Hair of head and face as strands."""
