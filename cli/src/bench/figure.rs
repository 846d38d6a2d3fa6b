//! The figures of a run: what they are called, their medians, and how they are printed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::runtime::Runtime;

/// What bytes go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathName {
    /// Nothing between client and server.
    Direct,
    /// Two nodes of this build, on this runtime.
    Culvert(Runtime),
    /// Envoy as HBONE client and server.
    Envoy,
}

impl PathName {
    /// As in the table and in JSON.
    pub(super) fn label(self) -> &'static str {
        match self {
            PathName::Direct => "direct",
            PathName::Culvert(runtime) => runtime.name(),
            PathName::Envoy => "envoy",
        }
    }
}

/// What is measured, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Figure {
    /// Client to server, one connection.
    Upload,
    /// Server to client, one connection.
    Download,
    /// CPU of both proxies for bytes of both directions.
    CpuPerGigabyte,
    /// Client to server over a link of 50 ms round trip.
    UploadFar,
    /// Small requests on kept-alive connections.
    Requests,
    /// CPU of both proxies for such a request.
    CpuPerRequest,
    /// Median of those requests.
    BusyMedian,
    /// 99th percentile of those requests.
    BusyTail,
    /// Median of small requests, one at a time.
    Median,
    /// 99th percentile of small requests, one at a time.
    Tail,
    /// The same beside stalled readers.
    StalledTail,
    /// That, as a multiple of the same moments before without them.
    StalledRatio,
    /// Connections made, used once and closed.
    Connections,
    /// CPU of both proxies for such a connection.
    CpuPerConnection,
    /// Memory of both proxies for an idle connection.
    Memory,
}

impl Figure {
    const ALL: [Figure; 15] = [
        Figure::Upload,
        Figure::Download,
        Figure::CpuPerGigabyte,
        Figure::UploadFar,
        Figure::Requests,
        Figure::CpuPerRequest,
        Figure::BusyMedian,
        Figure::BusyTail,
        Figure::Median,
        Figure::Tail,
        Figure::StalledTail,
        Figure::StalledRatio,
        Figure::Connections,
        Figure::CpuPerConnection,
        Figure::Memory,
    ];

    /// Name in JSON, words in the table, unit.
    fn describe(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Figure::Upload => ("upload", "bulk, to the server", "Gbit/s"),
            Figure::Download => ("download", "bulk, from the server", "Gbit/s"),
            Figure::CpuPerGigabyte => ("cpu_per_gigabyte", "CPU of both proxies", "s/GB"),
            Figure::UploadFar => ("upload_50ms", "bulk at 50 ms round trip", "Gbit/s"),
            Figure::Requests => ("requests", "requests, 32 connections", "1/s"),
            Figure::CpuPerRequest => ("cpu_per_request", "CPU of both proxies", "us"),
            Figure::BusyMedian => ("requests_p50", "p50 of these", "us"),
            Figure::BusyTail => ("requests_p99", "p99 of these", "us"),
            Figure::Median => ("latency_p50", "p50, one connection", "us"),
            Figure::Tail => ("latency_p99", "p99, one connection", "us"),
            Figure::StalledTail => ("latency_p99_stalled", "p99 beside 99 stalled readers", "us"),
            Figure::StalledRatio => ("stalled_ratio", "of the p99 just before them", "x"),
            Figure::Connections => ("connections", "new connections", "1/s"),
            Figure::CpuPerConnection => ("cpu_per_connection", "CPU of both proxies", "us"),
            Figure::Memory => ("memory", "memory for an idle connection", "KiB"),
        }
    }

    fn more_is_better(self) -> bool {
        matches!(
            self,
            Figure::Upload | Figure::Download | Figure::UploadFar | Figure::Requests | Figure::Connections
        )
    }
}

/// All that was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Results {
    values: BTreeMap<(Figure, PathName), Vec<f64>>,
}

impl Results {
    /// Adds what one round found; what is no number was not found.
    pub(super) fn add(&mut self, path: PathName, figure: Figure, value: f64) {
        if value.is_finite() {
            self.values.entry((figure, path)).or_default().push(value);
        }
    }

    /// The median of all rounds.
    pub(super) fn median(&self, path: PathName, figure: Figure) -> Option<f64> {
        let mut values = self.values.get(&(figure, path))?.clone();
        values.sort_unstable_by(f64::total_cmp);
        let high = *values.get(values.len() / 2)?;
        let low = *values.get((values.len() - 1) / 2)?;
        Some(f64::midpoint(low, high))
    }

    /// How many times as good `one` is as `other`: above 1 is better, whichever way the figure counts.
    fn ratio(&self, figure: Figure, one: PathName, other: PathName) -> Option<f64> {
        let one = self.median(one, figure)?;
        let other = self.median(other, figure)?;
        let ratio = if figure.more_is_better() { one / other } else { other / one };
        ratio.is_finite().then_some(ratio)
    }

    /// The paths that were measured, in the order of the table.
    fn paths(&self) -> Vec<PathName> {
        self.values.keys().map(|(_, path)| *path).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// What is compared: the first runtime with what is no runtime, and every further runtime with the first.
    fn comparisons(&self) -> Vec<(PathName, PathName)> {
        let paths = self.paths();
        let mut runtimes = paths.iter().filter(|path| matches!(path, PathName::Culvert(_)));
        let Some(first) = runtimes.next() else { return Vec::new() };
        let others = paths.iter().filter(|path| !matches!(path, PathName::Culvert(_)));
        let outside = others.map(|other| (*first, *other));
        outside.chain(runtimes.map(|further| (*further, *first))).collect()
    }

    /// One object for each figure.
    pub(super) fn json(&self) -> Vec<Value> {
        let paths = self.paths();
        let comparisons = self.comparisons();
        let one = |figure: Figure| {
            let (name, _, unit) = figure.describe();
            let better = if figure.more_is_better() { "more" } else { "less" };
            let mut object = Map::new();
            object.insert("figure".to_owned(), json!(name));
            object.insert("unit".to_owned(), json!(unit));
            object.insert("better".to_owned(), json!(better));
            for path in &paths {
                object.insert(path.label().to_owned(), json!(self.median(*path, figure)));
            }
            for (one, other) in &comparisons {
                let name = format!("{}_as_good_as_{}", one.label(), other.label());
                object.insert(name, json!(self.ratio(figure, *one, *other)));
            }
            Value::Object(object)
        };
        Figure::ALL.into_iter().map(one).collect()
    }

    /// Lines for people.
    pub(super) fn table(&self) -> String {
        let paths = self.paths();
        let comparisons = self.comparisons();
        let mut text = format!("{:<30} {:<7}", "", "");
        // Writing to a string cannot fail.
        for path in &paths {
            let _written = write!(text, " {:>9}", path.label());
        }
        for (one, other) in &comparisons {
            let _written = write!(text, " {:>15}", format!("{} to {}", one.label(), other.label()));
        }
        text.push('\n');
        let measured = |figure: &Figure| self.values.keys().any(|(known, _)| known == figure);
        for figure in Figure::ALL.into_iter().filter(measured) {
            let (_, words, unit) = figure.describe();
            let _written = write!(text, "{words:<30} {unit:<7}");
            for path in &paths {
                let cell = self.median(*path, figure).map_or_else(|| "-".to_owned(), number);
                let _written = write!(text, " {cell:>9}");
            }
            for (one, other) in &comparisons {
                let ratio = self.ratio(figure, *one, *other);
                let times = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2} x"));
                let _written = write!(text, " {times:>15}");
            }
            text.push('\n');
        }
        text
    }
}

/// Three significant digits where there are decimals at all.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: PathName = PathName::Culvert(Runtime::Tokio);
    const MIO: PathName = PathName::Culvert(Runtime::Mio);

    fn results() -> Results {
        let mut results = Results::default();
        for (path, upload, tail) in [
            (PathName::Direct, [40.0, 10.0, 20.0], 10.0),
            (OURS, [8.0, 6.0, 1.0], 50.0),
            (MIO, [6.0, 9.0, 9.0], 40.0),
            (PathName::Envoy, [3.0, 3.0, 9.0], 100.0),
        ] {
            for value in upload {
                results.add(path, Figure::Upload, value);
            }
            results.add(path, Figure::Tail, tail);
        }
        results.add(OURS, Figure::Memory, f64::NAN);
        results
    }

    #[test]
    fn medians_and_ratios() {
        let results = results();
        assert_eq!(results.median(OURS, Figure::Upload), Some(6.0));
        assert_eq!(results.median(OURS, Figure::Memory), None);
        // More is better for one, less for the other: both times Culvert is twice as good.
        assert_eq!(results.ratio(Figure::Upload, OURS, PathName::Envoy), Some(2.0));
        assert_eq!(results.ratio(Figure::Tail, OURS, PathName::Envoy), Some(2.0));
        let mut even = Results::default();
        even.add(PathName::Direct, Figure::Upload, 1.0);
        even.add(PathName::Direct, Figure::Upload, 2.0);
        assert_eq!(even.median(PathName::Direct, Figure::Upload), Some(1.5));
    }

    #[test]
    fn runtimes_are_compared_with_the_first_of_them() {
        let compared = results().comparisons();
        assert_eq!(compared, [(OURS, PathName::Direct), (OURS, PathName::Envoy), (MIO, OURS)]);
    }

    #[test]
    fn table_and_json_say_the_same() {
        let results = results();
        let table = results.table();
        assert!(table.lines().all(|line| line.len() == table.lines().next().unwrap().len()), "{table}");
        assert!(
            table.contains("20.0      6.00      9.00      3.00          0.30 x          2.00 x"),
            "{table}"
        );
        assert!(table.contains("mio to tokio"), "{table}");
        let json = results.json();
        // The table leaves out what was not measured.
        assert_eq!((json.len(), table.lines().count()), (15, 3));
        assert_eq!(json[0]["tokio"], 6.0);
        assert_eq!(json[0]["tokio_as_good_as_envoy"], 2.0);
        assert_eq!(json[0]["mio_as_good_as_tokio"], 1.5);
        assert_eq!(json[14]["tokio"], Value::Null);
    }
}
