"""Supervised training of torch modules, carried by Lightning Fabric."""
