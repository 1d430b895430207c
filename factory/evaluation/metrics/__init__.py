"""What is measured of a release, as types: the contents of metrics/*.json."""
