"""Power laws: fits, error bars over seeds, collapses, extrapolation."""
