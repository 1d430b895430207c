"""What a person runs: `python -m jobs.NAME CONFIG [section.key=value ...] [--dry-run]`."""
