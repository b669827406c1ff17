# First-order lag, rate limit and plain clipping: the small pieces every function shares.
#
# A lag is given by its open-loop response time t90 (IEEE 1547-2018: 90 % of the change): y += (1 - left) (x - y) with
# left = 10 ** (-dt / t90) and dt = k periods. k is whole, so left comes from the binary digits of k and a table of
# left after 1, 2, 4 ... 32768 periods made once at load: no exp and no libm in a step, the same bits on every machine.

from libc.stdint cimport int64_t

cdef enum:
    LAG_BITS = 16

cdef struct lag_cfg_t:
    double left[16]          # left[i]: what is left after 2 ** i periods


cdef inline double clip(double x, double lo, double hi) noexcept nogil:
    return lo if x < lo else (hi if x > hi else x)


cdef inline double lag_left(const lag_cfg_t* cfg, int64_t k) noexcept nogil:
    cdef double left = 1.0
    cdef int i
    if k == 1:
        return cfg.left[0]
    if k >= (1 << LAG_BITS):
        return 0.0           # more than 65 535 grid points were skipped: nothing is left
    for i in range(LAG_BITS):
        if (k >> i) & 1:
            left *= cfg.left[i]
    return left


cdef inline double lag_step(double y, double x, const lag_cfg_t* cfg, int64_t k) noexcept nogil:
    return x + (y - x) * lag_left(cfg, k)


cdef inline double approach(double y, double target, double most) noexcept nogil:
    # y moved towards target by at most `most`
    return y + clip(target - y, -most, most)


cdef void lag_cfg_init(lag_cfg_t* cfg, double period_s, double t90_s)
