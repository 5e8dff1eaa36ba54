"""Lines between the processes of one installation: packets of JSON with descriptors beside them."""
