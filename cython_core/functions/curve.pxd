# A piecewise-linear curve, flat outside its points: the shape of volt-var and watt-var.

cdef inline double curve(const double* x, const double* y, int points, double at) noexcept nogil:
    # x must not fall; two equal x are a step, taken at its left value (Category A has V2 = V3)
    cdef int i
    if at <= x[0]:
        return y[0]
    for i in range(1, points):
        if at <= x[i]:
            if x[i] == x[i - 1]:
                return y[i - 1]
            return y[i - 1] + (at - x[i - 1]) / (x[i] - x[i - 1]) * (y[i] - y[i - 1])
    return y[points - 1]
