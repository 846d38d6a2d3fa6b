//! `:authority`: one spelling for each target, and nothing that another reader could take for a different one.
#![no_main]

use std::net::{IpAddr, SocketAddr};

use culvert_core::hbone::connect::{Authority, ConnectRequest, MAX_HOST_BYTES};
use culvert_core::hbone::mux::{Mux, MuxConfig, MuxRefusal};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Authority::parse(text) {
        Ok(authority) => check(text, &authority),
        Err(error) => {
            assert!(error.at as usize <= text.len(), "{error} of {} bytes", text.len());
            // What the standard library prints for an address is its canonical text, and must be taken.
            if let Ok(address) = text.parse::<SocketAddr>() {
                assert!(address.to_string() != text || address.port() == 0 || text.contains('%'), "{error}");
            }
        }
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && let Ok(port) = port.parse()
    {
        let made = Authority::host(host, port).ok();
        let printed = format!("{host}:{port}");
        let parsed = Authority::parse(&printed).ok().filter(|a| matches!(a, Authority::Host { .. }));
        assert_eq!(made, parsed);
    }
});

fn check(text: &str, authority: &Authority) {
    let printed = authority.to_string();
    assert_eq!(Authority::parse(&printed).as_ref(), Ok(authority));
    assert!(printed.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()), "{printed}");
    assert!(!printed.contains(['@', '/', '%', '?', '#', ',', '\\']), "{printed}");
    assert_ne!(authority.port(), 0);
    match authority {
        Authority::Ip(address) => {
            assert_eq!(*address, SocketAddr::new(address.ip().to_canonical(), address.port()));
            let other: SocketAddr = text.parse().expect("what we take for an address is one for others");
            assert_eq!(other.ip().to_canonical(), address.ip());
            assert_eq!(other.port(), address.port());
        }
        Authority::Host { host, .. } => {
            assert!(host.len() <= MAX_HOST_BYTES);
            assert!(host.parse::<IpAddr>().is_err(), "{host} is an address");
            assert!(text.eq_ignore_ascii_case(&printed), "{text} became {printed}");
        }
    }
    let mut mux = Mux::client(&MuxConfig::default());
    let opened = mux.connect(&ConnectRequest::new(authority.clone()));
    assert!(!matches!(opened, Err(MuxRefusal::Malformed(_))), "{printed}: {opened:?}");
}
