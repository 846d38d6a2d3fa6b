//! The mesh file: YAML at the edge, facts inside (node.md 1.14).

use std::path::Path;

use culvert_core::mesh::{MeshFile, Snapshot};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::failure::Failure;

/// Reads the text of a mesh file.
///
/// # Errors
/// What is wrong, with line and column, and which file.
pub fn parse(path: &Path, text: &[u8]) -> Result<Snapshot, Failure> {
    let name = path.display();
    let text = std::str::from_utf8(text)
        .map_err(|error| Failure::new(format!("{name}: not UTF-8 after byte {}", error.valid_up_to())))?;
    // YAML takes it for a mesh without facts. It is what a file looks like that somebody is writing anew.
    if text.trim().is_empty() {
        return Err(Failure::new(format!("{name}: empty")).hint(NOTHING));
    }
    let file: MeshFile = serde_saphyr::from_str(text)
        .map_err(|error| Failure::new(format!("{name}: {}", first_lines(&error.to_string()))))?;
    // A file that is cut where a writer paused must not lose its policies in silence.
    let sections: Sections = serde_saphyr::from_str(text)
        .map_err(|error| Failure::new(format!("{name}: {}", first_lines(&error.to_string()))))?;
    for (section, there) in [("workloads", sections.workloads), ("policies", sections.policies)] {
        if there.is_none() {
            return Err(Failure::new(format!("{name}: no section `{section}`")).hint(NOTHING));
        }
    }
    Snapshot::from_file(file).map_err(|error| Failure::new(format!("{name}: {error}")))
}

const NOTHING: &str = "say `workloads: []` and `policies: []` where there are none";

/// Which sections a file has.
#[derive(Deserialize)]
struct Sections {
    workloads: Option<IgnoredAny>,
    policies: Option<IgnoredAny>,
}

/// The parser draws the place under its message; what says why stands first.
fn first_lines(message: &str) -> String {
    message.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_is_named_with_its_line() {
        let error = parse(Path::new("mesh.yaml"), b"workloads: []\npolicy: []\n").unwrap_err();
        assert!(error.message().contains("policy"), "{}", error.message());
        assert!(error.message().contains("line 2"), "{}", error.message());
    }

    #[test]
    fn a_file_without_text_is_no_mesh() {
        for text in [&b""[..], b" \n\n"] {
            let error = parse(Path::new("mesh.yaml"), text).unwrap_err();
            assert!(error.message().contains("empty"), "{}", error.message());
        }
    }

    #[test]
    fn an_empty_mesh_says_so() {
        assert!(parse(Path::new("mesh.yaml"), b"workloads: []\npolicies: []\n").is_ok());
    }

    #[test]
    fn a_file_that_was_cut_is_no_mesh() {
        let error = parse(Path::new("mesh.yaml"), b"workloads: []\n").unwrap_err();
        assert!(error.message().contains("policies"), "{}", error.message());
    }
}
