"""Curation: a published data set to shards, with hashes, a card and an export."""
