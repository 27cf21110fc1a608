"""How well pictures are read, by factor and by collection."""
