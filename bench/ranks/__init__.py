"""Time training on ranks, and the all-reduce between them: what is measured, where it runs, where it is kept."""
