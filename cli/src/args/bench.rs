//! Arguments of `culvert bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::runtime::Runtime;

/// What `culvert bench` compares with, beside a direct connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Against {
    /// Envoy as HBONE client and server, where it can be found.
    Envoy,
    /// Nothing else.
    #[value(name = "none")]
    Nothing,
}

/// One kind of load of `culvert bench`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Load {
    /// Memory of idle connections.
    Idle,
    /// One connection, as much as goes through.
    Bulk,
    /// The same over a link of 50 ms round trip.
    Far,
    /// Small requests on many connections.
    Requests,
    /// Small requests, one at a time.
    Latency,
    /// Connections made, used once and closed.
    Connections,
    /// Small requests beside readers that stall.
    Stalled,
}

/// Arguments of `culvert bench`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(after_help = "Everything runs on 127.0.0.0/8, in less than a minute, and needs no privileges.")]
pub struct BenchArgs {
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// One short round: figures are rough
    #[arg(long)]
    pub quick: bool,
    /// Only this load (repeatable)
    #[arg(long, value_name = "LOAD")]
    pub only: Vec<Load>,
    /// What the nodes' workers run on; several are measured side by side
    #[arg(long, value_enum, value_name = "RUNTIME", value_delimiter = ',', default_value = "tokio")]
    pub runtime: Vec<Runtime>,
    /// Which other proxy to measure, if it is there
    #[arg(long, value_name = "PROXY", default_value = "envoy")]
    pub against: Against,
    /// Where Envoy's peer.py is [default: $CULVERT_SHARED/peers or ../shared/peers]
    #[arg(long, value_name = "DIR")]
    pub peers: Option<PathBuf>,
    /// The Python that has Envoy [default: .venv/bin/python in DIR or here, or python3]
    #[arg(long, value_name = "FILE")]
    pub python: Option<PathBuf>,
}
