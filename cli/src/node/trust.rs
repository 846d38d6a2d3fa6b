//! Whom a node trusts beside what its credentials say, and what was revoked.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use culvert_core::identity::{RevocationLists, Trust, TrustBundle};

use super::log;
use crate::failure::Failure;
use crate::watch::{Change, Watch, watch_until_quiet};

/// Lists are read when their directory has been quiet for this long (node.md row 82).
const QUIET: Duration = Duration::from_secs(2);

/// What is known, from whichever side it comes.
#[derive(Debug, Default)]
pub(super) struct Trusting {
    trust: Trust,
    path: Option<PathBuf>,
}

impl Trusting {
    /// Reads the lists in `path`, if there is one, and watches it. There is no last good list to go on with yet, so that one that
    /// cannot be used is refused.
    pub(super) fn begin(
        path: Option<&Path>,
        changed: impl FnMut(Change) + Send + 'static,
    ) -> Result<(Trusting, Option<Watch>), Failure> {
        let Some(path) = path else { return Ok((Trusting::default(), None)) };
        let refused = |why: &dyn std::fmt::Display| {
            Failure::new(format!("{}: {why}", path.display()))
                .hint("--crl names certificate revocation lists, in PEM or one in DER; an empty file is none")
        };
        let (content, watch) = watch_until_quiet(path, QUIET, changed).map_err(|error| refused(&error))?;
        let lists = RevocationLists::read(&content).map_err(|error| refused(&error))?;
        let trust = Trust { bundle: None, revoked: Arc::new(lists) };
        Ok((Trusting { trust, path: Some(path.to_owned()) }, Some(watch)))
    }

    /// Whom to trust as of now.
    pub(super) fn trust(&self) -> Trust {
        self.trust.clone()
    }

    /// The lists changed. What cannot be used is reported, and the last good lists stay in force.
    pub(super) fn lists(&mut self, change: Change) -> Option<Trust> {
        let file = self.path.as_deref().map(|path| path.display().to_string());
        let read = match change {
            Change::Content(content) => RevocationLists::read(&content).map_err(|error| error.to_string()),
            Change::Unreadable(error) => Err(error.to_string()),
        };
        match read {
            Ok(lists) => {
                let count = lists.len();
                log::line(
                    &serde_json::json!({"event": "revocation lists applied", "file": file, "lists": count}),
                );
                self.trust.revoked = Arc::new(lists);
                Some(self.trust())
            }
            Err(error) => {
                log::line(&serde_json::json!({
                    "event": "revocation lists refused", "file": file, "error": error, "kept": "the last good ones",
                }));
                None
            }
        }
    }

    /// Bundles came by themselves.
    pub(super) fn bundle(&mut self, bundle: Arc<TrustBundle>) -> Trust {
        let domains: Vec<_> = bundle.trust_domains().map(|(domain, _)| domain.to_owned()).collect();
        log::line(&serde_json::json!({"event": "trust bundles applied", "trust_domains": domains}));
        self.trust.bundle = Some(bundle);
        self.trust()
    }
}
