"""Who acts: containers by their door, operators by user id or token. Principals are made in this room alone."""
