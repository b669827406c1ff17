"""Signs of life, both ways. Pure; time comes with the answers and the command.

Ours     a count that rises once in each second of the *loop's* time: it is taken from the command, so a loop that hangs
         stops it whatever the bus thread does, and a stale command too.
Theirs   a heartbeat has to move, a reversion timer must not stand at 0 while set-points are acknowledged; what has not
         been so for longer than its limit raises its bits.
Errors   none.
"""

from libc.stdint cimport int64_t, uint16_t, uint64_t
from libc.string cimport memcpy

from cython_core.codes cimport MODE_ACTIVE, MODE_STOP
from cython_core.structs cimport command_t
from drivers.modbus.tables cimport RECORD_WORDS, answer_t, raw_at

cdef int64_t SECOND_NS = 1000000000


cdef void heart_judge(heart_t* h, const answer_t* answers, int is_told, int64_t* record) noexcept nogil:
    cdef const answer_t* answer
    cdef watch_t* w
    cdef uint64_t raw
    cdef int i, alive
    for i in range(h.n_watches):
        w = &h.watches[i]
        answer = &answers[w.read]
        if not answer.have:
            continue
        raw = raw_at(answer.data, w.word, w.type)
        if w.moves:
            alive = raw != w.last
        else:
            alive = raw != 0 or is_told == 0
        if alive or w.t_alive_ns == 0:
            w.last = raw
            w.t_alive_ns = answer.t_ns
        elif answer.t_ns - w.t_alive_ns > w.limit_ns:
            record[w.target] |= w.bits


cdef int heart_due(const heart_t* h, const command_t* command, int64_t now_ns) noexcept nogil:
    cdef int64_t age_ns = now_ns - command.t_ns
    if h.beat.n == 0 or command.mode < MODE_ACTIVE or command.mode > MODE_STOP:
        return 0
    if age_ns < 0 or age_ns > command.valid_ms * 1000000:
        return 0
    return command.t_ns // SECOND_NS != h.second


cdef void heart_beat(heart_t* h, const command_t* command, uint16_t* words) noexcept nogil:
    h.count += 1
    h.second = command.t_ns // SECOND_NS
    words[0] = <uint16_t> (h.count >> 16)
    words[1] = <uint16_t> h.count


cdef class Heart:
    """The rules alone, for tests: no wire, no clock."""
    cdef heart_t h

    def __init__(self, plan):
        from drivers.modbus.compiled import heart
        cdef bytes raw = heart(plan)
        memcpy(&self.h, <const char*> raw, sizeof(heart_t))

    def judge(self, t_ns, answers, bint is_told):
        """The words of the record that these answers (data bytes, all of time t_ns) raise: {word: bits}."""
        cdef answer_t[16] newest
        cdef int64_t[16] record
        for i in range(RECORD_WORDS):
            record[<int> i] = 0
            newest[<int> i].have = 0
        for i, data in enumerate(answers):
            memcpy(newest[<int> i].data, <const char*> data, len(data))
            newest[<int> i].have, newest[<int> i].t_ns = 1, t_ns
        heart_judge(&self.h, newest, is_told, record)
        return {i: record[<int> i] for i in range(RECORD_WORDS) if record[<int> i]}

    def beat(self, command, int64_t now_ns):
        """The two words to write now, or None."""
        cdef uint16_t[2] words
        cdef command_t c = command_t(command.n, command.t_ns, command.p_w, command.q_var, command.mode,
                                     command.valid_ms)
        if not heart_due(&self.h, &c, now_ns):
            return None
        heart_beat(&self.h, &c, words)
        return words[0], words[1]
