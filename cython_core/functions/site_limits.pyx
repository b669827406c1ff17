"""Settings -> C struct, and the Python face of site_limits. The function, with its source: site_limits.pxd."""


cdef void site_limits_init(site_limits_cfg_t* cfg, object settings):
    """Settings (the whole) -> C struct, once, at load."""
    site = settings.site_limits
    cfg.enable = site.enable
    cfg.import_w = site.import_w
    cfg.export_w = site.export_w
    cfg.fuse_a = site.fuse_a
    cfg.margin_w = site.margin_w
    cfg.share[0], cfg.share[1], cfg.share[2] = site.share_l1_pu, site.share_l2_pu, site.share_l3_pu
    cfg.v_nom_v = settings.rating.v_nom_v
    cfg.blind.lo = -site.blind_charge_w
    cfg.blind.hi = site.blind_discharge_w
