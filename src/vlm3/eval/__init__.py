"""Evaluation: predict into a folder, score it as often as you like, report beside the papers."""
