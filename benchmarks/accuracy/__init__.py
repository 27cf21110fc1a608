"""How well pictures are read, by what varies in them."""
