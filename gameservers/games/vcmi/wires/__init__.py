"""
VCMI's wire formats, one module each: the text lobby and the game pipe.
"""
