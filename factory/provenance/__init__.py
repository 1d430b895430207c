"""Where a release and its networks come from: which faces, whose, under which licenses."""
