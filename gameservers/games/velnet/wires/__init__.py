"""
The two wire formats of VelNet, and the messages that they share.
"""
