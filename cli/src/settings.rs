//! Where the settings of `culvert node` come from: its flags, the environment, a file. What the latter two say is put in the form
//! of flags, so that there is one parser, one set of names and one kind of error.
//!
//! What is typed wins over the environment, which wins over the file, which wins over the default.

pub(crate) mod environment;
mod file;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use environment::WithoutEffect;

use crate::failure::Failure;

/// Where a setting was said.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// An environment variable.
    Variable(String),
    /// A key of a configuration file.
    Key(PathBuf, String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Variable(name) => write!(f, "the environment variable {name}"),
            Origin::Key(path, key) => write!(f, "{key} in {}", path.display()),
        }
    }
}

/// A setting in the form of a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    /// Without dashes.
    flag: String,
    /// `None` for a switch that is on.
    value: Option<String>,
    origin: Origin,
}

impl Setting {
    fn argument(&self) -> OsString {
        match &self.value {
            Some(value) => format!("--{}={value}", self.flag).into(),
            None => format!("--{}", self.flag).into(),
        }
    }

    /// What may be set once: a flag, or a part of one that may be repeated.
    fn subject(&self) -> String {
        subject(&self.flag, self.value.as_deref())
    }
}

/// Limits and headers are settings of their own, each by its name.
fn subject(flag: &str, value: Option<&str>) -> String {
    match (flag, value.and_then(|value| value.split_once('='))) {
        ("limit", Some((name, _))) => format!("limit {name}"),
        ("xds-header" | "xds-metadata" | "ca-header", Some((name, _))) => {
            format!("{flag} {}", name.to_ascii_lowercase())
        }
        _ => flag.to_owned(),
    }
}

/// Flags of which one says what the others would: a source of facts, of credentials, whom to serve.
const ALTERNATIVES: [&[&str]; 3] =
    [&["workload", "pod"], &["mesh", "xds"], &["ca", "ca-address", "credentials", "spiffe-endpoint-socket"]];

/// The arguments of `culvert node` with all that was said elsewhere.
#[derive(Debug)]
pub(crate) struct Completed {
    arguments: Vec<OsString>,
    settings: Vec<Setting>,
    pub(crate) without_effect: WithoutEffect,
}

impl Completed {
    /// What to parse.
    pub(crate) fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    /// Who said what clap complains of, if it was not typed.
    pub(crate) fn culprit(&self, error: &clap::Error) -> Option<String> {
        let invalid = match error.get(ContextKind::InvalidArg)? {
            ContextValue::String(text) => text.clone(),
            ContextValue::Strings(texts) => texts.first()?.clone(),
            _ => return None,
        };
        let flag = invalid.trim_start_matches('-').split(['=', ' ']).next()?;
        let value = match error.get(ContextKind::InvalidValue) {
            Some(ContextValue::String(value)) => Some(value.as_str()),
            _ => None,
        };
        let said = |setting: &&Setting| {
            setting.flag == flag && (value.is_none() || setting.value.as_deref() == value)
        };
        self.settings.iter().find(said).map(|setting| setting.origin.to_string())
    }
}

/// Adds to the typed arguments, of which the first two are the program and `node`, what `environment` and the file that
/// `--config` or `CULVERT_CONFIG` names say.
///
/// # Errors
/// A variable or a key that is unknown or malformed, named; a file that cannot be read.
pub(crate) fn complete(
    typed: Vec<OsString>,
    environment: &[(String, String)],
    read: impl Fn(&Path) -> std::io::Result<String>,
) -> Result<Completed, Failure> {
    let mut taken = subjects(&typed);
    let (from_environment, without_effect) = environment::settings(environment)?;
    let mut settings = admit(from_environment, &mut taken);
    let config = config_path(&typed, environment);
    if let Some(path) = config {
        let text = read(&path).map_err(|error| {
            Failure::new(format!("{}: {error}", path.display())).hint("--config names a YAML file")
        })?;
        settings.extend(admit(file::settings(&path, &text)?, &mut taken));
    }
    let mut arguments = typed;
    arguments.extend(settings.iter().map(Setting::argument));
    Ok(Completed { arguments, settings, without_effect })
}

/// Flags that only mean something beside another, by how they begin.
const DEPENDENTS: [(&str, &str); 2] = [("xds-", "xds"), ("ca-", "ca-address")];

/// Those of `settings` that nobody with precedence has spoken of, and that mean something.
fn admit(settings: Vec<Setting>, taken: &mut BTreeSet<String>) -> Vec<Setting> {
    let before = taken.clone();
    let mut free: Vec<Setting> = Vec::new();
    for setting in settings {
        let said_otherwise = ALTERNATIVES
            .iter()
            .filter(|flags| flags.contains(&setting.flag.as_str()))
            .flat_map(|flags| flags.iter())
            .any(|flag| *flag != setting.flag && taken.contains(*flag));
        if said_otherwise || before.contains(&setting.subject()) {
            continue;
        }
        taken.insert(setting.subject());
        free.push(setting);
    }
    free.retain(|setting| {
        let flag = setting.flag.as_str();
        let on = DEPENDENTS.iter().find(|(begin, on)| flag.starts_with(begin) && flag != *on);
        on.is_none_or(|(_, on)| taken.contains(*on))
    });
    free
}

/// What the typed arguments speak of.
fn subjects(typed: &[OsString]) -> BTreeSet<String> {
    let texts: Vec<String> = typed.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let mut found = BTreeSet::new();
    for (at, text) in texts.iter().enumerate() {
        let Some(flag) = text.strip_prefix("--") else { continue };
        let (flag, value) = match flag.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (flag, texts.get(at.saturating_add(1)).map(String::as_str)),
        };
        found.insert(subject(flag, value));
    }
    found
}

fn config_path(typed: &[OsString], environment: &[(String, String)]) -> Option<PathBuf> {
    let mut words = typed.iter();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        if text == "--config" {
            return words.next().map(PathBuf::from);
        }
        if let Some(path) = text.strip_prefix("--config=") {
            return Some(path.into());
        }
    }
    environment.iter().find(|(name, _)| name == "CULVERT_CONFIG").map(|(_, path)| path.into())
}

#[cfg(test)]
mod tests;
