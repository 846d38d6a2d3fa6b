//! How a node's own connections and listeners are set up.

use std::time::Duration;

use clap::Args;
use culvert_linux::socket::{EXEMPT_MARK, Keepalive, SocketSettings};

use super::value::duration;

/// The arguments of `culvert node` about sockets.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct SocketArgs {
    /// Silence on a connection before it is probed
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "180s")]
    pub keepalive_time: Duration,
    /// Time between two probes
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "180s")]
    pub keepalive_interval: Duration,
    /// Unanswered probes after which a connection is dead
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=127))]
    pub keepalive_retries: u32,
    /// Probe no connection
    #[arg(long)]
    pub no_keepalive: bool,
    /// End connections whose bytes stay unacknowledged for as long as keepalive would take
    #[arg(long)]
    pub user_timeout: bool,
    /// The mark of the node's own packets, which the redirect exempts
    #[arg(long, value_name = "N", default_value_t = EXEMPT_MARK, value_parser = mark)]
    pub packet_mark: u32,
    /// Listen on IPv4 only
    #[arg(long)]
    pub no_ipv6: bool,
}

impl SocketArgs {
    /// The settings of sockets; the mark is set where the process may set it.
    pub(super) fn settings(&self) -> SocketSettings {
        let keepalive = Keepalive {
            idle: self.keepalive_time,
            interval: self.keepalive_interval,
            probes: self.keepalive_retries,
        };
        SocketSettings {
            mark: None,
            keepalive: (!self.no_keepalive).then_some(keepalive),
            user_timeout: self.user_timeout.then(|| keepalive.user_timeout()),
        }
    }
}

/// A packet mark, decimal or hexadecimal with `0x`; never 0, which every packet has.
fn mark(text: &str) -> Result<u32, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.ok().filter(|mark| *mark != 0).ok_or_else(|| "expected a number such as 1337 or 0x539".to_owned())
}
