//! HBONE: TCP streams carried by HTTP/2 CONNECT inside mutual TLS 1.3 (node.md rows 22 to 43).
//!
//! [`connect`] is the text of a CONNECT and its answer; [`mux`] is HTTP/2 itself, many streams over one byte stream;
//! [`tunnel`] joins it with TLS; [`pool`] says which tunnel carries which connection.

pub mod connect;
pub mod mux;
pub mod pool;
pub mod tunnel;
