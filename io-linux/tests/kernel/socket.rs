//! Running out of things: descriptors, and local ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;

use culvert_linux::lab;
use culvert_linux::socket::{self, AcceptError, DialError, DialOptions, Transparent};
use culvert_linux::splice::{Direction, PipePool, SpliceError, SplicePair};

use crate::sandbox::{accept, connect, isolated, ready, run_alone};

/// Lets the process open no descriptor beyond those it has, while `work` runs.
fn without_descriptors<T>(work: impl FnOnce() -> T) -> T {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    let none = libc::rlimit { rlim_cur: 0, ..limit };
    // SAFETY: the kernel reads one rlimit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const none) }, 0);
    let outcome = work();
    // SAFETY: the kernel reads one rlimit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    outcome
}

#[test]
fn want_of_descriptors_is_told_and_survived() {
    run_alone(module_path!(), "want_of_descriptors_is_told_and_survived", || {
        let listener = socket::listen("127.0.0.1:0".parse().unwrap(), &Default::default()).unwrap();
        let target = listener.local_addr().unwrap();
        let client = connect(target, &DialOptions::default()).unwrap();
        assert!(ready(&listener, libc::POLLIN));
        let (accepted, dialled, relayed) = without_descriptors(|| {
            let relayed = SplicePair::default().drive(
                Direction::Forward,
                client.as_fd(),
                client.as_fd(),
                &mut PipePool::new(1),
                1,
            );
            (socket::accept(&listener), socket::dial(target, &DialOptions::default()), relayed)
        });
        assert!(matches!(accepted, Err(AcceptError::Exhausted(_))), "{accepted:?}");
        assert!(matches!(dialled, Err(DialError::Exhausted(_))), "{dialled:?}");
        assert!(matches!(relayed, Err(SpliceError::NoPipe(_))), "{relayed:?}");
        // The connection has waited.
        assert_eq!(accept(&listener).1, client.local_addr().unwrap());
    });
}

isolated!(want_of_local_ports_is_told, || {
    lab::loopback_up().unwrap();
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40000").unwrap();
    let listener = socket::listen("127.0.0.1:80".parse().unwrap(), &Default::default()).unwrap();
    let target = listener.local_addr().unwrap();
    let source = DialOptions { source: Some(Ipv4Addr::LOCALHOST.into()), ..DialOptions::default() };
    let _only = connect(target, &source).unwrap();
    for options in [source.clone(), DialOptions::default()] {
        let refused = socket::dial(target, &options);
        assert!(matches!(refused, Err(DialError::Exhausted(_))), "{refused:?}");
    }
    // A source that leaves the port open can use the one port again for another target.
    let other = socket::listen("127.0.0.1:81".parse().unwrap(), &Default::default()).unwrap();
    let _again = connect(other.local_addr().unwrap(), &source).unwrap();
});

isolated!(a_transparent_listener_takes_an_address_that_is_not_there, || {
    // Without any local route at all the kernel would not know that the address is not there.
    lab::loopback_up().unwrap();
    let elsewhere: SocketAddr = "192.0.2.1:80".parse().unwrap();
    let options = |transparent| socket::ListenOptions { transparent, ..Default::default() };
    assert!(socket::listen(elsewhere, &options(Transparent::Never)).is_err());
    assert!(socket::listen(elsewhere, &options(Transparent::Required)).is_ok());
    assert!(socket::listen("[fd00::99]:80".parse().unwrap(), &options(Transparent::BestEffort)).is_ok());
});

isolated!(unreachable_and_refused_are_different, || {
    lab::loopback_up().unwrap();
    let unreachable = socket::dial("192.0.2.1:80".parse().unwrap(), &DialOptions::default());
    assert!(matches!(unreachable, Err(DialError::Unreachable(_))), "{unreachable:?}");
    let refused = connect("127.0.0.1:9".parse().unwrap(), &DialOptions::default()).unwrap_err();
    assert!(matches!(DialError::from(refused), DialError::Refused(_)));
});
