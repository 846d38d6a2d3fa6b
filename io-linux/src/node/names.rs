//! Names for the engines: looked up by the system's resolver on threads that may block.
//!
//! Engines remember what they are told and wait no longer than they must, so a name that takes long delays others only while
//! every thread has such a one.

use std::io;
use std::net::ToSocketAddrs;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use culvert_core::engine::boundary::ResolveFault;

use crate::driver::{Command, Commands};

/// Names that wait for a thread at most.
const WAITING: usize = 256;
const THREADS: usize = 4;
/// How long an answer serves: the system's resolver does not say.
const SERVES: Duration = Duration::from_secs(30);

/// A name that a worker asks for.
pub(crate) struct Lookup {
    pub(crate) host: Arc<str>,
    pub(crate) worker: usize,
}

/// A way for names to the threads that look them up.
pub(crate) fn lookups() -> (SyncSender<Lookup>, Receiver<Lookup>) {
    sync_channel(WAITING)
}

/// Starts the threads. Each ends once every worker has ended and what it looks up is known or not: nobody waits for that.
pub(crate) fn start(lookups: Receiver<Lookup>, workers: &[Commands]) -> io::Result<()> {
    let lookups = Arc::new(Mutex::new(lookups));
    for number in 0..THREADS {
        let (lookups, workers) = (lookups.clone(), workers.to_vec());
        std::thread::Builder::new().name(format!("culvert-names-{number}")).spawn(move || {
            loop {
                let next = lookups.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(Lookup { host, worker }) = next else { return };
                let outcome = look_up(&host);
                if let Some(worker) = workers.get(worker) {
                    worker.send(Command::Resolved { host, outcome });
                }
            }
        })?;
    }
    Ok(())
}

/// What the system's resolver says of a name.
pub(crate) fn look_up(host: &str) -> Result<(Vec<std::net::IpAddr>, Duration), ResolveFault> {
    // The port is of no meaning. What is no name is none that there is.
    match (host, 0).to_socket_addrs() {
        Ok(addresses) => {
            let mut found = Vec::new();
            for address in addresses.map(|address| address.ip()) {
                if !found.contains(&address) {
                    found.push(address);
                }
            }
            if found.is_empty() { Err(ResolveFault::NoSuchName) } else { Ok((found, SERVES)) }
        }
        Err(_) => Err(ResolveFault::Unavailable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_and_what_is_none_is_refused() {
        let (addresses, _) = look_up("localhost").unwrap();
        assert!(!addresses.is_empty() && addresses.iter().all(|ip| ip.is_loopback()));
        for none in ["", "no such name", "-.invalid"] {
            assert!(look_up(none).is_err(), "{none:?}");
        }
    }

    #[test]
    fn a_worker_is_told_what_it_asked_for() {
        let (lookup, receiver) = lookups();
        let (commands, inbox) = crate::driver::commands();
        start(receiver, &[commands]).unwrap();
        lookup.send(Lookup { host: "localhost".into(), worker: 0 }).unwrap();
        match inbox.wait() {
            Command::Resolved { host, outcome } => assert!(host.as_ref() == "localhost" && outcome.is_ok()),
            _ => panic!("another command"),
        }
    }
}
