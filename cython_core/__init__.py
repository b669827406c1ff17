"""Arithmetic and time: no files, sockets or logs (realtime/ring and realtime/host excepted)."""
