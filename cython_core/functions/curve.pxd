# A piecewise-linear curve through four points, flat outside: volt-var's shape.

cdef inline double curve4(const double* x, const double* y, double at) noexcept nogil:
    # x must not fall; two equal x are a step, taken at its left value (Category A has V2 = V3)
    cdef int i
    if at <= x[0]:
        return y[0]
    for i in range(1, 4):
        if at <= x[i]:
            if x[i] == x[i - 1]:
                return y[i - 1]
            return y[i - 1] + (at - x[i - 1]) / (x[i] - x[i - 1]) * (y[i] - y[i - 1])
    return y[3]
