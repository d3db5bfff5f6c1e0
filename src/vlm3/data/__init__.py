"""Labelled pictures on disk: records, shards, mixtures, and the questions made from them."""
