//! Loopback addresses that no other test has, in this process or another.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

/// The port that is held while an address is in use.
const LOCK: u16 = 14_999;
/// The first address; the range has 2^22 of them, of which few are ever used.
const FIRST: u32 = 0x7f40_0000;
const RANGE: u32 = 1 << 22;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An address in 127.64.0.0/10 that is ours until dropped, with all of its ports.
#[derive(Debug)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    _lock: UdpSocket,
}

impl Address {
    /// Takes a free one.
    ///
    /// # Panics
    /// There is none.
    pub fn take() -> Address {
        let start = std::process::id().wrapping_mul(2_654_435_761) >> 10;
        for _ in 0..RANGE {
            let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % RANGE;
            let ip = IpAddr::from(Ipv4Addr::from(FIRST + offset));
            if let Ok(lock) = UdpSocket::bind((ip, LOCK)) {
                return Address { ip, _lock: lock };
            }
        }
        panic!("no loopback address is free");
    }

    /// One of its ports.
    pub fn port(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, port)
    }

    /// Where its node takes tunnels.
    pub fn hbone(&self) -> SocketAddr {
        self.port(15008)
    }
}
