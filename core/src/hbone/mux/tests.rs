//! Two muxes back to back, and one against frames written by hand.

mod ending;
mod limit;
mod pair;
mod relay;
