//! What needs a namespace of its own: missing descriptors, missing ports, missing IPv6.
