//! Our node and implementations of HBONE that share no code with it, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod envoy_client;
mod envoy_server;
mod envoy_waypoint;
mod python_client;
mod python_server;
