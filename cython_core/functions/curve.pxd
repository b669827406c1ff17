# A piecewise-linear curve, flat outside its points: the shape of volt-var and watt-var.

cdef inline double curve(const double* x, const double* y, int points, double at) noexcept nogil:
    # x must not fall; where two x are equal their y are too (Category A has V2 = V3)
    cdef int i
    if at <= x[0]:
        return y[0]
    for i in range(1, points):
        if at <= x[i]:
            return y[i - 1] + (at - x[i - 1]) / (x[i] - x[i - 1]) * (y[i] - y[i - 1])
    return y[points - 1]
