"""What runs a model: in this process, over HTTP, by vLLM, and fakes for tests."""
