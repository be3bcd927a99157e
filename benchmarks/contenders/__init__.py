"""What is compared: each module is a process of its own, started and told what to do by `harness`.

A module here imports only its own library and `gate`, because each runs under the interpreter that
has that library.
"""
