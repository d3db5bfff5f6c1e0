"""The four tasks of the paper's section 3.2: geometry <-> text, one file a task, both directions."""
