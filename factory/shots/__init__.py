"""What is drawn of whom: the plan of a release, its shots, prompts, edits and environment."""
