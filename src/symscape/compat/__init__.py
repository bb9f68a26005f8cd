"""Other libraries' interfaces on top of symscape."""
