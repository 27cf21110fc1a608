"""CPU per request, latency, and behaviour under overload, compared with floors and peers."""
