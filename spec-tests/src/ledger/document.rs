//! The clauses of a specification that is a Markdown document of ours.

use super::Level;

/// The numbers of a document's clauses and how binding their words are. A clause is a paragraph or list item that begins with
/// its number in bold: `**H1.2** A server MUST …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    clauses: Vec<(String, Level)>,
}

impl Document {
    /// Finds the clauses of a text. MUST anywhere in a clause makes it one.
    pub fn parse(text: &str) -> Document {
        let mut clauses: Vec<(String, Level)> = Vec::new();
        let mut inside = false;
        for line in text.lines() {
            if let Some((id, rest)) = numbered(line) {
                clauses.push((id.to_owned(), level(rest)));
                inside = true;
            } else if line.trim().is_empty() || line.starts_with('#') {
                inside = false;
            } else if let Some((_, known)) = clauses.last_mut().filter(|_| inside)
                && level(line) == Level::Must
            {
                *known = Level::Must;
            }
        }
        Document { clauses }
    }

    /// The clauses, in order.
    pub fn clauses(&self) -> impl Iterator<Item = (&str, Level)> {
        self.clauses.iter().map(|(id, level)| (id.as_str(), *level))
    }

    /// Numbers that were given before.
    pub fn repeated(&self) -> impl Iterator<Item = &str> {
        let again = |at: usize, id: &str| self.clauses.iter().take(at).any(|(known, _)| known == id);
        self.clauses
            .iter()
            .enumerate()
            .filter(move |(at, (id, _))| again(*at, id))
            .map(|(_, (id, _))| id.as_str())
    }
}

/// The number at the start of a line, such as `H1.2`, and what follows it.
fn numbered(line: &str) -> Option<(&str, &str)> {
    let bold = line.trim_start().trim_start_matches("- ").strip_prefix("**")?;
    let (id, rest) = bold.split_once("**")?;
    let (section, clause) = id.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let section = section.strip_prefix(|c: char| c.is_ascii_uppercase())?;
    (digits(section) && digits(clause)).then_some((id, rest))
}

fn level(words: &str) -> Level {
    let is_word = |word: &str| word == "MUST";
    let must = words.split(|c: char| !c.is_ascii_alphabetic()).any(is_word);
    if must { Level::Must } else { Level::Should }
}
