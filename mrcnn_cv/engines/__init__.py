"""What runs a net: one folder per engine, a registry, and the choice among them."""
