"""Adapters: what agents with hooks of their own tell the gateway, in their own forms. They forward and apply; nothing is decided here."""
