"""The functions of the step in plain Python, for reference.py: one class a function, nothing of the core.

words        names of bits, states and modes
numbers      clipping, lag, curve, span
fresh        stage 1: ages and last good values
abnormal     stage 2: trip, ride-through, enter service
power        stage 3: wishes, site, battery, active power limit, volt-watt
frequency    stage 4: droop, fast response, inertia
reactive     stage 5: the reactive modes and their cross-over
limits       stage 6: capability, circle, smallest power, reversal dwell
"""
