"""Settings -> C struct, and the Python face of ride_through. The function, with its source: ride_through.pxd."""

from cython_core.records import Region

CEASE, MOMENTARY, MANDATORY = Region.CEASE, Region.MOMENTARY_CESSATION, Region.MANDATORY
PERMISSIVE = Region.PERMISSIVE
# Tables 14 to 16: v_from, v_to, region, minimum ride-through s at v_from, slope s/pu; continuous is 0.88 ... 1.10
HIGH = {
    "I": [(1.1, 1.15, PERMISSIVE, 1.0, 0.0), (1.15, 1.175, PERMISSIVE, 0.5, 0.0), (1.175, 1.2, PERMISSIVE, 0.2, 0.0),
          (1.2, 9.0, CEASE, 0.0, 0.0)],
    "III": [(1.1, 1.2, MOMENTARY, 12.0, 0.0), (1.2, 9.0, CEASE, 0.0, 0.0)],
}
HIGH["II"] = HIGH["I"]
LOW = {
    "I": [(0.7, 0.88, MANDATORY, 0.7, 4.0), (0.5, 0.7, PERMISSIVE, 0.16, 0.0), (-1.0, 0.5, CEASE, 0.0, 0.0)],
    "II": [(0.65, 0.88, MANDATORY, 3.0, 8.7), (0.45, 0.65, PERMISSIVE, 0.32, 0.0), (0.3, 0.45, PERMISSIVE, 0.16, 0.0),
           (-1.0, 0.3, CEASE, 0.0, 0.0)],
    "III": [(0.7, 0.88, MANDATORY, 20.0, 0.0), (0.5, 0.7, MANDATORY, 10.0, 0.0), (-1.0, 0.5, MOMENTARY, 1.0, 0.0)],
}
# Table 17: sets, s apart, min until they are forgotten (the last from memory)
SETS = {"I": (2, 20, 60), "II": (2, 10, 60), "III": (3, 5, 20)}


cdef void trip_init(trip_cfg_t* cfg, object settings):
    """Settings (the whole) -> C struct, once, at load. Order of records.Trip."""
    v = settings.voltage_trip
    f = settings.frequency_trip
    cfg.own_voltage = v.owner == "controller"
    cfg.own_frequency = f.owner == "controller"
    elements = [
        (v.ov2_pu, v.ov2_s, v), (v.ov1_pu, v.ov1_s, v), (v.uv1_pu, v.uv1_s, v), (v.uv2_pu, v.uv2_s, v),
        (f.of2_hz, f.of2_s, f), (f.of1_hz, f.of1_s, f), (f.uf1_hz, f.uf1_s, f), (f.uf2_hz, f.uf2_s, f),
    ]
    for i, (level, time_s, group) in enumerate(elements):
        cfg.level[i] = level
        cfg.time_ns[i] = round((time_s - group.opening_s) * 1e9)


cdef void row_init(row_t* row, object values):
    row.v_from, row.v_to, row.region, row.duty_s, row.duty_s_per_pu = values


cdef void ride_through_init(ride_through_cfg_t* cfg, object settings):
    """Settings (the whole) -> C struct, once, at load."""
    ride = settings.ride_through
    category = settings.rating.abnormal_category
    nothing = (9.0, 9.0, 0, 0.0, 0.0)                   # a row that no voltage is in
    high = [list(row) for row in HIGH[category]]
    low = [list(row) for row in LOW[category]]
    if category == "III":                               # 6.4.2.7.3: the thresholds of cessation may be moved
        high[0][0] = ride.mc_high_pu
        low[1][0] = min(ride.mc_low_pu, low[0][0])
        low[2][1] = ride.mc_low_pu
        low[0][0] = max(ride.mc_low_pu, low[0][0])
        high.append([1.1, ride.mc_high_pu, MANDATORY, 12.0, 0.0])
    for i in range(ROWS):
        row_init(&cfg.high[i], high[i] if i < len(high) else nothing)
        row_init(&cfg.low[i], low[i] if i < len(low) else nothing)
    cfg.own = ride.owner == "controller"
    cfg.f_nom_hz = settings.rating.f_nom_hz
    cfg.shift_hz = settings.rating.f_nom_hz - 60.0
    cfg.restore_s = ride.restore_s
    sets, apart_s, forget_min = SETS[category]
    cfg.most_sets = sets
    cfg.apart_ns = apart_s * 1_000_000_000
    cfg.forget_ns = forget_min * 60_000_000_000
