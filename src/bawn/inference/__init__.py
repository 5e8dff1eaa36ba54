"""A model provider that plays a script: what Bawn talks to when nobody has given it a key.

It is a real HTTP server in a process of its own (`python -m bawn.inference`), so the gateway reaches it
exactly as it reaches a paid provider: sockets, headers, server-sent events, and every way in which those
go wrong. It knows no secret and no room of Bawn; the gateway never imports it.
"""
