"""Questions to people: tickets, and the desk at which they are answered."""
