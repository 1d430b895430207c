"""Is a release any good: metrics of kept faces, and the same metrics of the source."""
