"""API keys, roles and each client's limit."""
