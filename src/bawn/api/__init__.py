"""The management API: what operators see and change, over a unix socket and a loopback address."""
