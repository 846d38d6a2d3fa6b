//! Culvert's simulator: what surrounds the core in a test, as a function of one seed.
//!
//! It begins with TLS. [`crypto`] is a provider for rustls whose bytes depend on the seed only and which costs nearly nothing;
//! [`certificate`] is an authority that issues credentials for it.
#![forbid(unsafe_code)]

pub mod certificate;
pub mod crypto;
pub mod explore;
pub mod world;
