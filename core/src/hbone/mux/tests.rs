//! Two muxes back to back, and one against frames written by hand.

mod ending;
mod hostile;
mod limit;
mod pair;
mod relay;
mod replay;
