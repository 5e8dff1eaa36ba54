"""Notices to the people who run an installation."""
