"""CAN inverters: bit fields, a SocketCAN bus thread, and the maps that describe a device's frames.

tables    Plan: flat rows between a map and the bus thread; plain data
canmap    a map file (YAML), read strictly        dbc      the DBC beside it and the map -> Plan, in a short-lived child
compiled  Plan -> C structs                       frame    C structs: frames -> DeviceState, Command -> frames; pure
wire      one raw socket                          bus      the thread around both
"""
