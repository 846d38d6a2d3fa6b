//! Which tests there are: a scan of the workspace's sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::LedgerError;

/// Where the tests are that must each be named by a clause, from the root of the workspace.
const CONFORMANCE: &str = "spec-tests/tests/";
/// The test that looks after the ledger, and is itself about no clause.
const REPORT: &str = "spec-tests/tests/report.rs";
/// Directories that hold no sources of ours.
const SKIPPED: [&str; 2] = ["target", ".git"];

/// The names of all tests that run by default, with the file of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tests {
    files: BTreeMap<String, Vec<String>>,
}

impl Tests {
    /// Scans every Rust file below the root of the workspace.
    ///
    /// # Errors
    /// A directory or file that cannot be read.
    pub fn scan(root: &Path) -> Result<Tests, LedgerError> {
        let mut tests = Tests::default();
        for path in files(root, "rs")? {
            let text = fs::read_to_string(&path).map_err(|e| LedgerError::read(&path, e))?;
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            tests.add(&relative, &text);
        }
        Ok(tests)
    }

    /// Adds the tests of one file: functions below `#[test]`, unless ignored, those in `quickcheck!`, and those that
    /// `isolated!` makes.
    pub fn add(&mut self, path: &str, text: &str) {
        let (mut is_test, mut is_ignored) = (false, false);
        // The indentation of a `quickcheck!` that was not closed yet.
        let mut property: Option<usize> = None;
        for line in text.lines() {
            let code = line.trim_start();
            let indent = line.len() - code.len();
            if code.starts_with("quickcheck! {") || code.starts_with("quickcheck::quickcheck! {") {
                property = Some(indent);
            } else if code == "}" && property == Some(indent) {
                property = None;
            } else if code.starts_with("#[test]") || code.starts_with("#[tokio::test") {
                is_test = true;
            } else if code.starts_with("#[ignore") {
                is_ignored = true;
            } else if let Some(name) = isolated(code) {
                self.files.entry(name.to_owned()).or_default().push(path.to_owned());
            } else if let Some(name) = function(code) {
                let direct = property.is_some_and(|outer| indent == outer + 4);
                if (is_test && !is_ignored) || direct {
                    self.files.entry(name.to_owned()).or_default().push(path.to_owned());
                }
                (is_test, is_ignored) = (false, false);
            }
        }
    }

    /// The files of the tests that a citation names: `NAME`, or `FILE::NAME` where several files have one of that name.
    /// `FILE` is the end of a path without `.rs`.
    pub fn find(&self, citation: &str) -> Vec<&str> {
        let (file, name) = citation.rsplit_once("::").unwrap_or(("", citation));
        let is_there = |path: &&str| file.is_empty() || is_at(path, file);
        self.files.get(name).into_iter().flatten().map(String::as_str).filter(is_there).collect()
    }

    /// How many tests there are.
    pub fn count(&self) -> usize {
        self.files.values().map(Vec::len).sum()
    }

    /// The tests that must each be named by a clause, with their files.
    pub fn conformance(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.files.iter().flat_map(|(name, paths)| paths.iter().map(move |path| (name, path)));
        all.map(|(name, path)| (name.as_str(), path.as_str()))
            .filter(|(_, path)| path.starts_with(CONFORMANCE) && *path != REPORT)
    }
}

/// Whether a path, without its ending, is `file` or ends in it.
fn is_at(path: &str, file: &str) -> bool {
    let before = path.strip_suffix(".rs").and_then(|stem| stem.strip_suffix(file));
    before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

/// The name of the test that a line begins, which a macro gives a network namespace of its own.
fn isolated(code: &str) -> Option<&str> {
    let (name, _) = code.strip_prefix("isolated!(")?.split_once(',')?;
    Some(name)
}

/// The name of the function whose definition a line begins.
fn function(code: &str) -> Option<&str> {
    let code = code.strip_prefix("pub ").unwrap_or(code);
    let rest = code.strip_prefix("fn ").or_else(|| code.strip_prefix("async fn "))?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    rest.get(..end).filter(|name| !name.is_empty())
}

/// Every file with an ending below a directory, by path.
pub(super) fn files(directory: &Path, ending: &str) -> Result<Vec<PathBuf>, LedgerError> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        let entries = fs::read_dir(&directory).map_err(|e| LedgerError::read(&directory, e))?;
        for entry in entries {
            let entry = entry.map_err(|e| LedgerError::read(&directory, e))?;
            let kind = entry.file_type().map_err(|e| LedgerError::read(&entry.path(), e))?;
            let skipped = SKIPPED.iter().any(|name| entry.file_name() == *name);
            if kind.is_dir() && !skipped {
                open.push(entry.path());
            } else if kind.is_file() && entry.path().extension().is_some_and(|e| e == ending) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}
