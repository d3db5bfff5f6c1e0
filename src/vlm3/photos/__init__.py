"""The commands about somebody's own photographs."""
