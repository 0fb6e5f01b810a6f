"""
The two wire formats of VelNet, and the vocabulary that they share.
"""
