"""The egress door: a forward proxy that denies until a rule allows."""
