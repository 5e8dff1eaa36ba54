"""What Bawn costs, measured beside what it is compared with, in one run on one machine. `python -m bench.run`."""
