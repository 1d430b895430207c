"""Is a release any good: figures of kept faces beside the same figures of the source."""
