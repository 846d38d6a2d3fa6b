//! What `culvert version` prints.

use std::fmt;

use crate::cryptography;

/// This build: version, commit if the build knew it, and the module that does the cryptography.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The package's version.
    pub version: &'static str,
    /// The git commit, if `CULVERT_COMMIT` was set when this was built.
    pub commit: Option<&'static str>,
    /// The cryptographic module, as it names itself.
    pub crypto: String,
}

impl Version {
    /// The version of this program.
    pub fn current() -> Version {
        Version {
            version: env!("CARGO_PKG_VERSION"),
            commit: option_env!("CULVERT_COMMIT"),
            crypto: cryptography::name(),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "culvert {}", self.version)?;
        if let Some(commit) = self.commit {
            write!(f, " ({commit})")?;
        }
        write!(f, "\ncrypto: {}", self.crypto)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_the_version_and_the_module() {
        let known = Version { version: "1.2.3", commit: Some("abcdef0"), crypto: "X".to_owned() };
        assert_eq!(known.to_string(), "culvert 1.2.3 (abcdef0)\ncrypto: X");
        assert_eq!(Version { commit: None, ..known }.to_string(), "culvert 1.2.3\ncrypto: X");
        assert_eq!(Version::current().version, env!("CARGO_PKG_VERSION"));
    }
}
