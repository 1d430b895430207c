"""Who shall exist: proposals, the gate that admits them, and the roster."""
