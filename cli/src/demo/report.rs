//! What the demo prints: a table for people, or one JSON object a line.

use std::fmt;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::place::NAMESPACE;
use crate::args::DEFAULT_TRUST_DOMAIN;

/// How a flow got from its source to its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowPath {
    /// Through an HBONE tunnel between two nodes.
    Hbone,
    /// Within one node's proxy.
    Local,
    /// As it is, outside the mesh.
    Plaintext,
    /// Not at all.
    Refused,
}

impl fmt::Display for FlowPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            FlowPath::Hbone => "hbone",
            FlowPath::Local => "local",
            FlowPath::Plaintext => "plaintext",
            FlowPath::Refused => "refused",
        })
    }
}

/// What policy said in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The flow may be.
    Allow,
    /// It may not.
    Deny,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
        })
    }
}

/// One flow of the demo, and whether it was what it had to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowResult {
    /// The scenario.
    pub name: String,
    /// From where, `NAMESPACE/NAME`.
    pub source: String,
    /// To where, `NAMESPACE/NAME`.
    pub destination: String,
    /// The source's SPIFFE id; empty if it has none.
    pub source_identity: String,
    /// The destination's SPIFFE id; empty if it has none.
    pub destination_identity: String,
    /// How it went.
    pub path: FlowPath,
    /// What policy said.
    pub verdict: Verdict,
    /// Which policy decided, `NAMESPACE/NAME`; empty if none did.
    pub policy: String,
    /// Bytes that the source wrote.
    pub bytes_sent: u64,
    /// Bytes that the source read.
    pub bytes_received: u64,
    /// From connecting to the first byte of an answer, in microseconds.
    pub latency_us: Option<u64>,
    /// Whether everything was as it had to be.
    pub ok: bool,
    /// What was not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub differs: String,
}

/// The end of a demo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// How many flows there were.
    pub flows: u64,
    /// How many were as they had to be.
    pub ok: u64,
    /// How often the canary of the mesh's flows was seen on the wire between the nodes.
    pub canary_leaks: u64,
    /// How often the same sniffer saw the canary of the flow that leaves the mesh, which it must.
    pub canary_seen_plain: u64,
}

impl Summary {
    /// Whether the mesh did all it must and nothing it must not.
    pub fn success(&self) -> bool {
        self.flows > 0 && self.ok == self.flows && self.canary_leaks == 0 && self.canary_seen_plain > 0
    }
}

#[derive(Serialize)]
struct SummaryLine {
    summary: Summary,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// A table.
    Table,
}

/// Writes results as they come.
#[derive(Debug)]
pub struct Printer<W> {
    out: W,
    format: Format,
    begun: bool,
}

impl<W: Write> Printer<W> {
    /// Writes to `out`.
    pub fn new(out: W, format: Format) -> Printer<W> {
        Printer { out, format, begun: false }
    }

    /// Writes one flow.
    pub fn flow(&mut self, flow: &FlowResult) -> io::Result<()> {
        match self.format {
            Format::Json => self.json(flow)?,
            Format::Table => {
                if !self.begun {
                    self.row(&HEADINGS.map(str::to_owned))?;
                }
                self.row(&cells(flow))?;
                if !flow.differs.is_empty() {
                    writeln!(self.out, "    {}", flow.differs)?;
                }
            }
        }
        self.begun = true;
        self.out.flush()
    }

    /// Writes the end.
    pub fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        match self.format {
            Format::Json => self.json(&SummaryLine { summary: *summary })?,
            Format::Table => {
                writeln!(self.out)?;
                writeln!(
                    self.out,
                    "sa/NAME is the identity spiffe://{DEFAULT_TRUST_DOMAIN}/ns/{NAMESPACE}/sa/NAME"
                )?;
                writeln!(self.out, "{} of {} flows as they must be", summary.ok, summary.flows)?;
                writeln!(
                    self.out,
                    "canary on the wire between the nodes: {} from the mesh (must be 0), {} from outside it (must not be 0)",
                    summary.canary_leaks, summary.canary_seen_plain
                )?;
            }
        }
        self.out.flush()
    }

    fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        self.out.write_all(b"\n")
    }

    fn row(&mut self, cells: &[String; COLUMNS]) -> io::Result<()> {
        let mut line = String::new();
        for (cell, (width, right)) in cells.iter().zip(LAYOUT) {
            let padded = if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
            line.push_str(&padded);
            line.push_str("  ");
        }
        writeln!(self.out, "{}", line.trim_end())
    }
}

const COLUMNS: usize = 9;
const HEADINGS: [&str; COLUMNS] =
    ["FLOW", "FROM", "TO", "PATH", "VERDICT", "POLICY", "SENT", "RECEIVED", "LATENCY"];
/// Width of each column, and whether it is set to the right.
const LAYOUT: [(usize, bool); COLUMNS] = [
    (21, false),
    (11, false),
    (11, false),
    (9, false),
    (7, false),
    (20, false),
    (8, true),
    (9, true),
    (8, true),
];

fn cells(flow: &FlowResult) -> [String; COLUMNS] {
    // One namespace holds them all; people need not read it in every line.
    let short = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let who = |place: &str, identity: &str| match identity {
        "" => short(place),
        _ => format!("sa/{}", short(identity)),
    };
    let mark = if flow.ok { "✓" } else { "✗" };
    [
        format!("{mark} {}", flow.name),
        who(&flow.source, &flow.source_identity),
        who(&flow.destination, &flow.destination_identity),
        flow.path.to_string(),
        flow.verdict.to_string(),
        if flow.policy.is_empty() { "-".to_owned() } else { short(&flow.policy) },
        size(flow.bytes_sent),
        size(flow.bytes_received),
        flow.latency_us.map_or_else(|| "-".to_owned(), latency),
    ]
}

/// A number of bytes for people, in binary units.
fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;
    match bytes {
        0..KIB => format!("{bytes} B"),
        KIB..MIB => format!("{:.1} KiB", bytes as f64 / KIB as f64),
        _ => format!("{:.1} MiB", bytes as f64 / MIB as f64),
    }
}

fn latency(microseconds: u64) -> String {
    match microseconds {
        0..1000 => format!("{microseconds} us"),
        1000..1_000_000 => format!("{:.1} ms", microseconds as f64 / 1e3),
        _ => format!("{:.1} s", microseconds as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> FlowResult {
        FlowResult {
            name: "cross-node".into(),
            source: "shop/frontend".into(),
            destination: "shop/payments".into(),
            source_identity: "spiffe://cluster.local/ns/shop/sa/frontend".into(),
            destination_identity: "spiffe://cluster.local/ns/shop/sa/payments".into(),
            path: FlowPath::Hbone,
            verdict: Verdict::Allow,
            policy: "shop/orders-from-frontend".into(),
            bytes_sent: 64 << 20,
            bytes_received: 1536,
            latency_us: Some(1234),
            ok: true,
            differs: String::new(),
        }
    }

    fn printed(format: Format, flow: &FlowResult, summary: &Summary) -> String {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, format);
        printer.flow(flow).unwrap();
        printer.flow(flow).unwrap();
        printer.summary(summary).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_one_object_a_line_and_a_summary() {
        let summary = Summary { flows: 2, ok: 2, canary_leaks: 0, canary_seen_plain: 9 };
        let text = printed(Format::Json, &flow(), &summary);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(serde_json::from_str::<FlowResult>(lines[0]).unwrap(), flow());
        assert!(lines[0].contains(r#""path":"hbone","verdict":"allow""#), "{}", lines[0]);
        assert_eq!(lines[2], r#"{"summary":{"flows":2,"ok":2,"canary_leaks":0,"canary_seen_plain":9}}"#);
    }

    #[test]
    fn the_table_is_aligned_and_fits() {
        let failed = FlowResult { ok: false, differs: "path is local, not hbone".into(), ..flow() };
        let text = printed(Format::Table, &failed, &Summary { flows: 2, ..Summary::default() });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= 120), "{text}");
        assert_eq!(lines[0].chars().count(), lines[1].chars().count(), "{text}");
        assert!(lines[1].starts_with("✗ cross-node"), "{text}");
        assert!(lines[1].contains("64.0 MiB") && lines[1].ends_with("1.2 ms"), "{text}");
        assert_eq!(lines[2].trim(), "path is local, not hbone");
    }

    #[test]
    fn success_needs_every_part() {
        let good = Summary { flows: 3, ok: 3, canary_leaks: 0, canary_seen_plain: 1 };
        assert!(good.success());
        for bad in [
            Summary { ok: 2, ..good },
            Summary { canary_leaks: 1, ..good },
            Summary { canary_seen_plain: 0, ..good },
            Summary::default(),
        ] {
            assert!(!bad.success(), "{bad:?}");
        }
    }
}
