"""The server and the page: `vlm3 serve` and `vlm3 app`."""
