//! What outlives the process: the facts in force with their versions, in one file that is replaced as a whole.
//!
//! The file is a line that names its format, the responses that would bring the facts, each after its length, and a checksum.
//! What is not whole is not used at all.

use culvert_core::mesh::{Delta, PolicyEntry, PolicyKey, ServiceKey, Snapshot};
use culvert_core::xds::{Fact, ResourceType, Response, Session};
use culvert_proto::delta;
use culvert_proto::discovery::{DeltaDiscoveryResponse, Resource};
use prost::Message;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const FORMAT: &[u8] = b"culvert discovery 1\n";
const FILE: &str = "discovery.state";
/// How long changes are gathered before they are written.
const DELAY: Duration = Duration::from_secs(1);
/// Writing takes at most this part of the time.
const SHARE: u32 = 20;

/// Why what is known is not kept.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file is not whole, or of another format.
    #[error("{} is not used: {reason}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

pub(crate) struct Store {
    folder: PathBuf,
    facts: Snapshot,
    due: Option<Instant>,
    delay: Duration,
}

impl Store {
    pub(crate) fn new(folder: PathBuf) -> Store {
        Store { folder, facts: Snapshot::new(), due: None, delay: DELAY }
    }

    pub(crate) fn apply(&mut self, delta: Delta) {
        self.facts = self.facts.apply(delta).0;
        self.due.get_or_insert_with(|| Instant::now() + self.delay);
    }

    /// When it is to be written.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// It was written, which took so long.
    pub(crate) fn saved(&mut self, took: Duration) {
        self.due = None;
        self.delay = DELAY.max(took * SHARE);
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// What an earlier process wrote, policies first.
    pub(crate) fn read(&self) -> Result<Option<Vec<Response>>, StateError> {
        let path = self.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StateError::Read { path, source }),
        };
        parse(&bytes).map(Some).map_err(|reason| StateError::Broken { path, reason })
    }

    pub(crate) fn write(&self, session: &Session) -> Result<(), StateError> {
        let mut bytes = FORMAT.to_vec();
        for of in [ResourceType::Authorization, ResourceType::Address] {
            let known = session.versions(of);
            let message = DeltaDiscoveryResponse {
                type_url: delta::type_url(of).into(),
                resources: known.filter_map(|(name, version)| self.resource(of, name, version)).collect(),
                ..DeltaDiscoveryResponse::default()
            };
            bytes.extend((message.encoded_len() as u64).to_le_bytes());
            bytes.extend(message.encode_to_vec());
        }
        bytes.extend(checksum(&bytes).to_le_bytes());
        replace(&self.folder, &self.path(), &bytes)
            .map_err(|source| StateError::Write { path: self.path(), source })
    }

    fn resource(&self, of: ResourceType, name: &str, version: &str) -> Option<Resource> {
        match of {
            ResourceType::Address => {
                let workload = self.facts.workload(name).cloned().map(Fact::Workload);
                let service =
                    || self.facts.service(&name.parse::<ServiceKey>().ok()?).cloned().map(Fact::Service);
                Some(delta::resource(&workload.or_else(service)?, version))
            }
            ResourceType::Authorization => {
                let key: PolicyKey = name.parse().ok()?;
                Some(match self.facts.policy(&key)? {
                    PolicyEntry::Decoded(policy) => delta::resource(&Fact::Policy(policy.clone()), version),
                    PolicyEntry::Undecodable { scope, .. } => delta::undecodable(&key, *scope, version),
                })
            }
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<Response>, &'static str> {
    const CUT: &str = "it is cut short";
    let (content, sum) = bytes.split_last_chunk::<8>().ok_or(CUT)?;
    let mut rest = content.strip_prefix(FORMAT).ok_or("it is of another format")?;
    if checksum(content) != u64::from_le_bytes(*sum) {
        return Err("its checksum is wrong");
    }
    let mut responses = Vec::new();
    while let Some((length, more)) = rest.split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| CUT)?;
        let (message, after) = more.split_at_checked(length).ok_or(CUT)?;
        let message = DeltaDiscoveryResponse::decode(message).map_err(|_| "it holds no responses")?;
        responses.push(delta::response(message).map_err(|_| "it holds resources of another type")?);
        rest = after;
    }
    if rest.is_empty() { Ok(responses) } else { Err(CUT) }
}

/// FNV-1a, against what a disk or a hand may have done; whoever can write the file is trusted.
fn checksum(bytes: &[u8]) -> u64 {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Readers see the old file or the new one, whenever the process or the machine ends.
fn replace(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use culvert_core::mesh::{Policy, Scope, WorkloadSpec};
    use culvert_core::seed::Seed;
    use culvert_core::time::Time;
    use culvert_core::xds::{Config, Input, Output, Rejection, Resource};
    use std::sync::Arc;
    use tempfile::TempDir;

    fn workload() -> Fact {
        let spec = WorkloadSpec { uid: "a".into(), namespace: "n".into(), ..WorkloadSpec::default() };
        Fact::Workload(Arc::new(spec.try_into().unwrap()))
    }

    fn session() -> Session {
        Session::new(Config { on_demand: false, seed: Seed::new([0; 32]) }, Time::START)
    }

    fn take(session: &mut Session, store: &mut Store) {
        while let Some(output) = session.poll_output() {
            if let Output::Apply(delta) = output {
                store.apply(delta);
            }
        }
    }

    /// A store that has written one workload, one policy and one that was not understood.
    fn written(folder: &TempDir) -> (Store, Session) {
        let (mut store, mut session) = (Store::new(folder.path().join("state")), session());
        session.handle_input(Time::START, Input::Connected);
        let policy: Policy = Policy {
            name: "p".into(),
            namespace: "n".into(),
            scope: Scope::Global,
            action: culvert_core::mesh::Action::Deny,
            rules: Vec::new(),
            dry_run: false,
        };
        let refused = Rejection { scope: Some(Scope::Namespace), reason: "?".into() };
        let resource = |name: &str, content| Resource {
            name: name.into(),
            version: "v1".into(),
            aliases: Vec::new(),
            content,
        };
        for (resource_type, resources) in [
            (
                ResourceType::Authorization,
                vec![resource("n/p", Ok(Fact::Policy(Arc::new(policy)))), resource("n/q", Err(refused))],
            ),
            (ResourceType::Address, vec![resource("a", Ok(workload()))]),
        ] {
            let response = Response { resource_type, nonce: "".into(), resources, removed: Vec::new() };
            session.handle_input(Time::START, Input::Response(response));
        }
        take(&mut session, &mut store);
        store.write(&session).unwrap();
        (store, session)
    }

    #[test]
    fn what_was_written_is_read_with_its_versions() {
        let folder = TempDir::new().unwrap();
        let (before, was) = written(&folder);
        let (mut after, mut session) = (Store::new(before.folder.clone()), session());
        for response in after.read().unwrap().unwrap() {
            session.restore(&response);
        }
        take(&mut session, &mut after);
        assert_eq!(after.facts.workloads().len(), 1);
        let entry = after.facts.policy(&PolicyKey::new("n", "q")).unwrap();
        assert!(matches!(entry, PolicyEntry::Undecodable { scope: Some(Scope::Namespace), .. }), "{entry:?}");
        assert_eq!(after.facts.policies().len(), 2);
        for of in [ResourceType::Address, ResourceType::Authorization] {
            assert!(session.versions(of).eq(was.versions(of)));
        }
    }

    #[test]
    fn what_is_not_whole_is_not_used() {
        let folder = TempDir::new().unwrap();
        let (store, _) = written(&folder);
        let whole = fs::read(store.path()).unwrap();
        for end in 0..whole.len() {
            fs::write(store.path(), &whole[..end]).unwrap();
            assert!(matches!(store.read(), Err(StateError::Broken { .. })), "{end}");
        }
        for at in 0..whole.len() {
            let mut bent = whole.clone();
            bent[at] ^= 1;
            fs::write(store.path(), bent).unwrap();
            assert!(matches!(store.read(), Err(StateError::Broken { .. })), "{at}");
        }
    }

    #[test]
    fn nothing_was_written_at_first_and_a_folder_that_cannot_be_is_told() {
        let folder = TempDir::new().unwrap();
        assert!(matches!(Store::new(folder.path().join("none")).read(), Ok(None)));
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let store = Store::new(file.join("state"));
        assert!(matches!(store.write(&session()), Err(StateError::Write { .. })));
    }
}
