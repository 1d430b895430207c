"""The identities of a release: proposals, the gate that admits them, and the roster."""
