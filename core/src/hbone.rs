//! HBONE: TCP streams carried by HTTP/2 CONNECT inside mutual TLS 1.3 (node.md rows 22 to 43).
//!
//! [`connect`] is the text of a CONNECT and its answer; [`mux`] is HTTP/2 itself, many streams over one byte stream.

pub mod connect;
pub mod mux;
