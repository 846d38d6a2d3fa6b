//! Culvert's simulator: what surrounds the core in a test, as a function of one seed.
//!
//! [`crypto`] is a provider for rustls whose bytes depend on the seed only and which costs nearly nothing; [`certificate`] is
//! an authority that issues credentials for it; [`cryptography`] lets others take their place. [`world`] has whole engines in
//! it, and laws that hold at every step; [`scenario`] turns bytes into what happens in one; [`explore`] visits every state that
//! small machines of the core can reach.
#![forbid(unsafe_code)]

pub mod bugs;
pub mod certificate;
pub mod crypto;
pub mod cryptography;
pub mod explore;
pub mod frame;
pub mod idle;
pub mod liar;
pub mod model;
pub mod month;
pub mod scenario;
pub mod world;
