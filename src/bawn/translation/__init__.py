"""Between wires: a request, an answer or a stream of one, said in another. Pure.

Everything goes through one neutral conversation (`neutral`), so each wire is read and written once, whatever the
number of wires. What a wire cannot say is known before anything is sent: `features` has the table.
"""
