//! `culvert-bugs`: hunts the planted bugs, and fails where one is not noticed. `.ci/bugs` builds and runs it.

use std::process::ExitCode;

#[cfg(not(culvert_bugs))]
fn main() -> ExitCode {
    eprintln!("this build has no planted bugs; build and run it by: .ci/bugs all");
    ExitCode::FAILURE
}

#[cfg(culvert_bugs)]
fn main() -> ExitCode {
    hunting::main()
}

#[cfg(culvert_bugs)]
mod hunting {
    use std::process::ExitCode;

    use culvert_sim::bugs::{Hunt, Hunted, document, visit, walk};

    const USAGE: &str = "\
usage: culvert-bugs [--only NAME] [--every N] [--offset K] [--max-seeds M] [--jobs N] [--write-docs FILE]
       culvert-bugs --walk FROM TO
       culvert-bugs --visit MACHINE DEPTH";
    const BEGIN: &str = "<!-- planted bugs: written by `.ci/bugs all --write-docs docs/testing.md` -->\n";
    const END: &str = "<!-- planted bugs: end -->\n";

    type Error = Box<dyn std::error::Error>;

    pub(crate) fn main() -> ExitCode {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn run(arguments: &[&str]) -> Result<ExitCode, Error> {
        match arguments {
            ["--walk", from, to] => walk(from.parse()?, to.parse()?),
            ["--visit", machine, depth] => visit(machine, depth.parse()?)?,
            _ => return hunt(arguments),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn hunt(mut arguments: &[&str]) -> Result<ExitCode, Error> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let mut hunt = Hunt { only: None, every: 1, offset: 0, seeds: 2000, jobs };
        let mut docs = None;
        while let [option, value, rest @ ..] = arguments {
            match *option {
                "--only" => hunt.only = Some((*value).to_owned()),
                "--every" => hunt.every = value.parse()?,
                "--offset" => hunt.offset = value.parse()?,
                "--max-seeds" => hunt.seeds = value.parse()?,
                "--jobs" => hunt.jobs = value.parse()?,
                "--write-docs" => docs = Some(*value),
                _ => return Err(USAGE.into()),
            }
            arguments = rest;
        }
        if !arguments.is_empty() {
            return Err(USAGE.into());
        }
        let hunted = hunt.run(tell)?;
        let table = document(&hunted);
        if let Some(file) = docs {
            write(file, &table)?;
        }
        let missed: Vec<&str> =
            hunted.iter().filter(|one| one.finding.is_none()).map(|one| one.planted.name).collect();
        println!("{} planted bugs, {} noticed", hunted.len(), hunted.len() - missed.len());
        if let Some(last) = table.lines().last().filter(|line| line.starts_with("Of ")) {
            println!("{last}");
        }
        if missed.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        Err(format!("nothing notices {}", missed.join(", ")).into())
    }

    fn tell(hunted: &Hunted) {
        let name = hunted.planted.name;
        match &hunted.finding {
            Some(finding) => {
                let after = finding.seeds.map_or_else(String::new, |seeds| format!(" after {seeds} seeds"));
                println!("{name}: {} by {}{after}: {}", finding.law, finding.by, finding.message);
            }
            None => println!("{name}: NOT NOTICED, though {} should hold", hunted.planted.law),
        }
    }

    /// Puts the table between its marks.
    fn write(file: &str, table: &str) -> Result<(), Error> {
        let text = std::fs::read_to_string(file)?;
        let marked = text.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
        let (head, tail) = marked.ok_or_else(|| format!("{file} has no place for the table"))?;
        Ok(std::fs::write(file, format!("{head}{BEGIN}\n{table}\n{END}{tail}"))?)
    }
}
