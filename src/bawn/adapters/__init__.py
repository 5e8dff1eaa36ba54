"""Adapters: what agents with hooks of their own tell the gateway, each in its own form. Nothing is decided here."""
