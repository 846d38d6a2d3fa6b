//! Dials that found no descriptor or port: tried again a few times, a little later each time, then failed with the reason
//! (node.md B9). Connections that are alive go on meanwhile.

use std::time::Duration;

use culvert_core::engine::boundary::SocketId;
use culvert_core::fault::IoFault;
use culvert_core::time::{Now, Time};

use super::effects::Dial;
use super::{Driver, Runtime};

/// The pauses before each further try; whoever waits for the outcome waits for a second at most.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
];

struct Later {
    at: Time,
    tries: usize,
    dial: Dial,
}

/// The dials that are to be tried again.
#[derive(Default)]
pub(super) struct Redials {
    later: Vec<Later>,
}

impl Redials {
    /// Takes a dial that failed, unless trying again is pointless or was tried often enough.
    pub(super) fn take(&mut self, now: Now, dial: Dial, tries: usize, fault: IoFault) -> bool {
        let passing = matches!(fault, IoFault::Exhausted | IoFault::AddressUnavailable);
        let Some(pause) = PAUSES.get(tries).filter(|_| passing) else { return false };
        self.later.push(Later { at: now.time.after(*pause), tries: tries + 1, dial });
        true
    }

    /// The engine no longer wants it.
    pub(super) fn forget(&mut self, socket: SocketId) {
        self.later.retain(|later| later.dial.socket != socket);
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.later.iter().map(|later| later.at).min()
    }
}

impl<R: Runtime> Driver<R> {
    pub(super) fn redial(&mut self, now: Now) {
        let mut due = Vec::new();
        self.redials.later.retain_mut(|later| {
            let wait = later.at > now.time;
            if !wait {
                due.push((later.dial, later.tries));
            }
            wait
        });
        for (dial, tries) in due {
            self.connect(now, dial, tries);
        }
    }
}
