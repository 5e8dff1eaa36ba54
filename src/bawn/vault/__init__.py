"""The providers' keys: sealed in the store, open in this process's memory alone."""
