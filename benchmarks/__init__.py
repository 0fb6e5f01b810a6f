"""
How fast it is: one command each, as C{python -m benchmarks.vcmi_chat}.

Each starts the server of this checkout in a process of its own and is itself the load, in a
closed loop for a bounded time.  C{--peer NAME=PORT:PID} measures another server, which is
running already, in the same rounds; figures stand side by side with their ratio.
"""
