"""Answers: engines turn questions into texts, the predictor turns texts into geometry."""
