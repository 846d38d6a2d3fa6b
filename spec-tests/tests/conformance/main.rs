//! Tests that were written for the clauses in `spec/`, table by table, against core's public interface alone.
#![expect(clippy::unwrap_used, reason = "what a test sets up must be there, or the test fails")]

mod authority;
mod capture;
mod certificate;
mod ending;
mod fixture;
mod http2;
mod identity;
mod limit;
mod pair;
mod policy;
mod request;
mod session;
mod stream;
mod wire;
