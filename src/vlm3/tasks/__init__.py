"""The four tasks of the paper's section 3.2: geometry <-> text, both directions in a file."""
