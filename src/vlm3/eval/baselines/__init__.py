"""Models, classical methods and constant answers to put beside a vision language model."""
