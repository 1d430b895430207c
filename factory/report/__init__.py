"""Numbers to pages: the HTML report and the dataset card."""
