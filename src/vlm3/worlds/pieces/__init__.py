"""What stands in rooms and streets: built-in models at true size, drawn from a few numbers each."""
