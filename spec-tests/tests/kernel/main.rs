//! Pods in network namespaces, their traffic redirected to our nodes by the kernel.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cluster;
mod paths;
mod privileges;
