"""The one numeric engine under every tensor product."""
