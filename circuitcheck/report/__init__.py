"""What is shown, built from test reports alone, so that it is the same in one process and in many."""
