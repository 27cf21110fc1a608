"""How much CPU a request costs, how long it takes, and what overload does, beside floors and peers."""
