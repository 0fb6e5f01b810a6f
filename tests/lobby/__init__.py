"""Tests of the room that knows players and rooms."""
