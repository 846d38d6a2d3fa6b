//! Names of endpoints that have no address: asked for when a connection needs them, and remembered for a while (node.md row 60).
//!
//! A name says where to dial and nothing else. Who must be there is a matter of facts, whatever a name leads to (attack H11).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use super::boundary::{Output, ResolveFault};
use crate::capture::Resolved;
use crate::lies::Lies;
use crate::time::{Now, Time};

/// How long an answer serves at least and at most, whatever the time to live that came with it.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// How long it is remembered that a name has no address.
const NEGATIVE: Duration = Duration::from_secs(5);
/// Addresses of one name at most; further ones are not looked at.
const ADDRESSES: usize = 64;

/// What is known of names.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: BTreeMap<Arc<str>, Name>,
}

#[derive(Debug)]
enum Name {
    /// Nobody waits for an answer longer than until then: it may be asked anew.
    Asked {
        until: Time,
    },
    Answered {
        resolved: Result<Arc<Resolved>, ResolveFault>,
        until: Time,
    },
}

impl Name {
    fn until(&self) -> Time {
        match self {
            Name::Asked { until } | Name::Answered { until, .. } => *until,
        }
    }
}

/// What is known of one name now.
pub(super) enum Lookup {
    Known(Arc<Resolved>),
    Nowhere,
    /// The answer will come, or the waiting end.
    Awaited,
}

impl<L: Lies> Engine<L> {
    /// The addresses of a name, which is asked for if they are not known.
    pub(super) fn look_up(&mut self, now: Now, host: &Arc<str>) -> Lookup {
        let at = now.time;
        planted!(NameServesForEver, at = Time::START);
        match self.names.known.get(host).filter(|name| name.until() > at) {
            Some(Name::Answered { resolved: Ok(resolved), .. }) => return Lookup::Known(resolved.clone()),
            Some(Name::Answered { resolved: Err(_), .. }) => return Lookup::Nowhere,
            Some(Name::Asked { .. }) => return Lookup::Awaited,
            None => {}
        }
        if !self.names.known.contains_key(host) && !self.make_room_for_name(now) {
            return Lookup::Nowhere;
        }
        let until = now.time.after(self.config.limits.wait_for_facts);
        self.names.known.insert(host.clone(), Name::Asked { until });
        self.outputs.push_back(Output::Resolve { host: host.clone() });
        Lookup::Awaited
    }

    /// False where all that is known is still of use.
    fn make_room_for_name(&mut self, now: Now) -> bool {
        if self.names.known.len() < self.config.limits.names {
            return true;
        }
        self.names.known.retain(|_, name| name.until() > now.time);
        self.names.known.len() < self.config.limits.names
    }

    /// A name was looked up. An answer that nobody asked for is not one.
    pub(super) fn resolved(
        &mut self,
        now: Now,
        host: Arc<str>,
        outcome: Result<(Vec<IpAddr>, Duration), ResolveFault>,
    ) {
        let Some(Name::Asked { .. }) = self.names.known.get(&host) else { return };
        let (resolved, lasts) = match outcome {
            Ok((mut addresses, lasts)) => {
                addresses.truncate(ADDRESSES);
                let lasts = lasts.clamp(SHORTEST, LONGEST);
                (Ok(Arc::new(Resolved { host: host.clone(), addresses })), lasts)
            }
            Err(fault) => (Err(fault), NEGATIVE),
        };
        self.names.known.insert(host, Name::Answered { resolved, until: now.time.after(lasts) });
        self.facts_changed(now);
    }
}
