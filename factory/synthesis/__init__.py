"""Shots in, faces out: generators, the maker of one shard, and the runner without ray."""
