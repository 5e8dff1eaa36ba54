"""Rules: what happens in a conversation, and what follows from it. Effects are data; nobody is called from here."""
