"""How units are run, by any runner: the loop without ray, retries, shutdown, events, progress."""
