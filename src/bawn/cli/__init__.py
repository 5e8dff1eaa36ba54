"""`bawn`, the command line: it speaks to the management API by the client, and starts processes by argv.

Every string that comes from elsewhere reaches the terminal by `cli.output` alone. HTTP is loaded when a
command needs it, so that `bawn --help` is quick.
"""
