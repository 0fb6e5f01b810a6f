"""Tests of the room that knows bytes and transports."""
