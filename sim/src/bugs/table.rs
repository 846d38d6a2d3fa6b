//! What hunts came to, as a table.

use std::fmt::Write;

use super::Hunted;

/// The table as Markdown, and the median below it.
pub fn document(hunted: &[Hunted]) -> String {
    let mut text = String::from("| bug | what is wrong | law | found by | seeds |\n|---|---|---|---|---|\n");
    for Hunted { planted, finding } in hunted {
        let (law, by, seeds) = match finding {
            Some(finding) => {
                let seeds = finding.seeds.map_or_else(String::new, |seeds| seeds.to_string());
                (finding.law.as_str(), finding.by.as_str(), seeds)
            }
            None => (planted.law, "nothing", String::new()),
        };
        let says = planted.says.trim();
        // Writing to a string does not fail.
        let _ = writeln!(text, "| `{}` | {says} | {law} | {by} | {seeds} |", planted.name);
    }
    if let Some(median) = median(hunted) {
        let count = hunted.iter().filter(|hunted| seeds(hunted).is_some()).count();
        let _ = writeln!(text, "\nOf the {count} that scenarios find, half take {median} seeds at most.");
    }
    text
}

/// How many scenarios it takes to find half of those that scenarios find.
pub fn median(hunted: &[Hunted]) -> Option<u64> {
    let mut counts: Vec<u64> = hunted.iter().filter_map(seeds).collect();
    counts.sort_unstable();
    counts.get(counts.len().saturating_sub(1) / 2).copied()
}

fn seeds(hunted: &Hunted) -> Option<u64> {
    hunted.finding.as_ref()?.seeds
}
