"""The words every room shares: values without behaviour beyond their own invariants. Imports no room."""
