"""How throughput grows with processes, nodes and pictures."""
