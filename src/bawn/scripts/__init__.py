"""Scripts of the operator: Python in place of a proxy, in worker processes of their own."""
