"""Peers written in C: a real line's pace on a pty, and Debian's libmodbus as server, client and controller."""
