# The records as C structs: the same fields in the same order as records.py (a test compares them).
# Every field is one 64-bit word, so no struct has padding and a mailbox moves whole words.

from libc.stdint cimport int64_t

cdef struct measurement_t:
    int64_t t_f_ns
    int64_t t_v_ns
    int64_t t_p_ns
    int64_t valid
    double f_hz
    double v1_v
    double v2_v
    double v3_v
    double p_w
    double q_var
    double p1_w
    double p2_w
    double p3_w
    double i1_a
    double i2_a
    double i3_a


cdef struct device_state_t:
    int64_t t_ns
    int64_t t_echo_ns
    int64_t valid
    double p_w
    double q_var
    double p_set_readback_w
    double p_max_discharge_w
    double p_max_charge_w
    double p_min_abs_w
    double s_max_va
    double soc_pu
    int64_t session
    int64_t status


cdef struct wish_t:
    int64_t source
    double lo_w
    double hi_w
    double p_w
    double q_var
    int64_t valid_from_ns
    int64_t expires_ns
    int64_t seq


cdef struct order_t:
    int64_t t_ns
    int64_t permit
    int64_t stop
    double ap_limit_pu
    int64_t t_depart_ns


cdef struct command_t:
    int64_t n
    int64_t t_ns
    double p_w
    double q_var
    int64_t mode
    int64_t valid_ms


cdef struct step_record_t:
    int64_t n
    int64_t t_ns
    int64_t k
    int64_t skipped
    int64_t lateness_ns
    int64_t settings_digest
    int64_t reasons
    int64_t state
    int64_t m_t_f_ns
    int64_t m_t_v_ns
    int64_t m_t_p_ns
    int64_t m_valid
    double m_f_hz
    double m_v1_v
    double m_v2_v
    double m_v3_v
    double m_p_w
    double m_q_var
    double m_p1_w
    double m_p2_w
    double m_p3_w
    double m_i1_a
    double m_i2_a
    double m_i3_a
    int64_t d_t_ns
    int64_t d_t_echo_ns
    int64_t d_valid
    double d_p_w
    double d_q_var
    double d_p_set_readback_w
    double d_p_max_discharge_w
    double d_p_max_charge_w
    double d_p_min_abs_w
    double d_s_max_va
    double d_soc_pu
    int64_t d_session
    int64_t d_status
    int64_t o_t_ns
    int64_t o_permit
    int64_t o_stop
    double o_ap_limit_pu
    int64_t o_t_depart_ns
    int64_t i_source
    double i_lo_w
    double i_hi_w
    double i_p_w
    double i_q_var
    int64_t i_valid_from_ns
    int64_t i_expires_ns
    int64_t i_seq
    int64_t age_f_ns
    int64_t age_v_ns
    int64_t age_p_ns
    int64_t age_d_ns
    int64_t fresh_f
    int64_t fresh_v
    int64_t fresh_p
    int64_t fresh_d
    double f_hz
    double rocof_hz_s
    double v_pu
    double v_lo_pu
    double v_hi_pu
    int64_t region
    int64_t trip
    int64_t disturbances
    int64_t es_left_ns
    double es_pu
    double restore_pu
    int64_t w_source
    int64_t w_seq
    double w_p_w
    double p_lo_w
    double p_hi_w
    double vw_hi_w
    double site_lo_w
    double site_hi_w
    double p_wish_w
    double p_pre_w
    double dp_target_w
    double dp_w
    double dp_fast_w
    double p_freq_w
    int64_t q_mode
    double v_ref_pu
    double q_target_var
    double q_lag_var
    double p_cmd_w
    double q_cmd_var
    int64_t mode
    int64_t valid_ms


cdef struct inputs_t:          # all that one step reads besides its state, settings and the grid time
    measurement_t meter
    device_state_t device
    order_t order
    wish_t wish             # the one that arrived in this step; source -1: none
