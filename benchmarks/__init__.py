"""
How fast the server is: one command for each benchmark, as C{python -m benchmarks.vcmi_chat}.

Each starts the server of this checkout in its own process and generates the load itself, in a
closed loop for a limited time.  C{--before DIR} measures the server of another checkout in the
same rounds, and C{--peer NAME=PORT:PID} any server that is already running; the figures are
printed side by side with their ratio.  C{python -m benchmarks.compare --before DIR} does this for
all benchmarks.

C{python -m benchmarks.fairness} measures something else: how long honest players wait while others
misbehave.
"""
