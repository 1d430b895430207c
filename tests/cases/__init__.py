"""The kinds of everyday data that once failed, each as a user meets it: one file a kind."""
