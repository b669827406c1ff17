# A Plan as flat C tables of fixed size: what the nogil thread walks through. Pure; no sockets, no time.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t

cdef enum:
    MAX_READS = 16
    MAX_DECODES = 64
    MAX_FLAGS = 96
    MAX_WRITES = 8                  # in each of start, setpoint, stop
    MAX_ENCODES = 8                 # in one write
    MAX_ABSENT = 4                  # in one decode
    RECORD_WORDS = 16               # the longest record a bus fills
    MAX_ENERGIES = 4                # drivers.tables.ENERGIES

cdef enum:                          # the types of drivers.tables.TYPES
    U16 = 0
    S16 = 1
    U32 = 2
    S32 = 3
    F32 = 4
    U64 = 5
    S64 = 6
    LOW_FIRST = 8                      # or-ed to one of more words than one: its low word comes first

cdef enum:
    FROM_P = 0
    FROM_Q = 1

cdef struct read_t:
    int function
    int address
    int count
    int every                       # 0: by its own clock
    int unit
    int64_t every_ns                # of that clock

cdef struct decode_t:
    int read
    int word
    int type
    int target
    int to_int
    int n_absent
    uint64_t[4] absent
    int64_t valid
    double scale
    double low
    double high

cdef struct flag_t:
    int read
    int word
    int type
    int target
    int set
    uint64_t mask
    uint64_t equals
    int64_t bits
    int64_t valid

cdef struct encode_t:
    int word
    int type
    int source
    double scale
    double low
    double high

cdef struct write_t:
    int function
    int address
    int count
    int n_encodes
    int unit
    int verify                      # the function that reads the words back; 0: written without a look
    uint16_t[123] words
    encode_t[8] encodes

cdef struct writes_t:
    int n
    write_t[8] items

cdef struct answer_t:               # the newest answer to one read
    int have
    int misses                      # since then, in a row
    int64_t t_ns                    # its last byte
    uint8_t[250] data

cdef struct tables_t:
    int unit
    int n_reads
    int n_decodes
    int n_flags
    int n_words                     # of the record
    int valid                       # the word that holds the valid bits
    read_t[16] reads
    decode_t[64] decodes
    flag_t[96] flags
    int n_energies
    decode_t[4] energies
    int64_t[16] blank               # the record with nothing in it
    writes_t start
    writes_t setpoint
    writes_t stop

# The bits of a value in an answer, as an unsigned number.
cdef uint64_t raw_at(const uint8_t* data, int word, int type) noexcept nogil
# The record from the newest answers to all reads; the times are not touched.
cdef void decode_record(const tables_t* t, const answer_t* answers, int64_t* record) noexcept nogil
# The counters of energy that stand in the answer to this read, as doubles; the others stay. How many there are.
cdef int decode_energies(const tables_t* t, int read, const uint8_t* data, int64_t* words) noexcept nogil
# The words of one write; 0: a value does not fit its type, and nothing may be sent.
cdef int encode_write(const write_t* write, double p_w, double q_var, uint16_t* words) noexcept nogil
