"""What rows prove: estimates, paired ratios, verdicts between backends or runs, the gate, and trials of all that."""
