//! The configuration file: a YAML map whose keys are the flags of `culvert node`.

use std::collections::BTreeMap;
use std::path::Path;

use clap::{ArgAction, CommandFactory};
use serde::Deserialize;

use super::{Origin, Setting};
use crate::args::NodeCommand;
use crate::failure::Failure;

/// What may stand behind a key.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Value {
    Switch(bool),
    Number(u64),
    Text(String),
    List(Vec<Scalar>),
    /// Of flags that are repeated with NAME=VALUE.
    Map(BTreeMap<String, Scalar>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Number(u64),
    Text(String),
}

impl Scalar {
    fn text(self) -> String {
        match self {
            Scalar::Number(number) => number.to_string(),
            Scalar::Text(text) => text,
        }
    }
}

/// The settings of a file.
///
/// # Errors
/// Text that is no such map, an unknown key, a value of another kind than its flag takes.
pub(super) fn settings(path: &Path, text: &str) -> Result<Vec<Setting>, Failure> {
    let refused = |what: String| {
        Failure::new(format!("{}: {what}", path.display()))
            .hint("its keys are the flags of `culvert node` without dashes, such as `workers: 2`")
    };
    let map: BTreeMap<String, Value> =
        serde_saphyr::from_str(text).map_err(|error| refused(error.to_string()))?;
    let command = NodeCommand::command();
    let mut found = Vec::new();
    for (key, value) in map {
        let known = command.get_arguments().find(|argument| argument.get_long() == Some(key.as_str()));
        let Some(argument) = known.filter(|argument| argument.get_long() != Some("config")) else {
            return Err(refused(format!("{key} is no setting")));
        };
        let is_switch = matches!(argument.get_action(), ArgAction::SetTrue);
        let repeats = matches!(argument.get_action(), ArgAction::Append);
        let origin = Origin::Key(path.to_owned(), key.clone());
        let mut say = |value| found.push(Setting { flag: key.clone(), value, origin: origin.clone() });
        match value {
            Value::Switch(on) if is_switch => {
                if on {
                    say(None);
                }
            }
            Value::Number(number) if !is_switch && !repeats => say(Some(number.to_string())),
            Value::Text(text) if !is_switch => say(Some(text)),
            Value::List(items) if repeats => items.into_iter().for_each(|item| say(Some(item.text()))),
            Value::Map(map) if repeats => {
                for (name, value) in map {
                    say(Some(format!("{name}={}", value.text())));
                }
            }
            _ if is_switch => return Err(refused(format!("{key} is true or false"))),
            _ if repeats => return Err(refused(format!("{key} is a list or a map"))),
            _ => return Err(refused(format!("{key} is one value"))),
        }
    }
    Ok(found)
}
