"""Whether what readers are told keeps the promise of their level of consistency, whoever writes and whatever breaks.

Writers raise the versions of registers, through Millrace and past it; readers write down what they were told, and when
(`writers`, `readers`); servers are killed, stopped and cut off meanwhile (`faults`). Afterwards each read is judged by
what was acknowledged before it was sent (`judge`). `run` puts that together.

A register is a row in each of two tables that hold the same version, and that every transaction changes together. Its
versions only grow: one writer raises them.
"""
