"""Where the factory runs: the only code that imports ray."""
