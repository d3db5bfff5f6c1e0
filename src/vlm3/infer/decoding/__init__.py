"""Many questions in few passes: the shared prefix, batches, answer forms, and readouts."""
