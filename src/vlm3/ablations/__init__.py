"""What the paper claims, in miniature: pairs of runs that differ in one thing, and their scores."""
