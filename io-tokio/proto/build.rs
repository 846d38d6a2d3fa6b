//! Compiles the messages and services of `proto/`, without protoc.

use std::path::PathBuf;

/// Each file, below `proto/`.
const FILES: [&str; 5] = [
    "istio/workload.proto",
    "istio/authorization.proto",
    "istio/certificate.proto",
    "envoy/discovery.proto",
    "google/rpc/status.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let with_services = std::env::var_os("CARGO_FEATURE_GRPC").is_some();
    tonic_prost_build::configure()
        .build_client(with_services)
        .build_server(with_services)
        .build_transport(false)
        .btree_map(".")
        .out_dir(out)
        .compile_fds(descriptors)?;
    Ok(())
}
