"""What a release would be, decided before anything is drawn: checks, plan, estimate."""
