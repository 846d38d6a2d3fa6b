//! The node's log: one JSON object a line on standard error, the access log with the field names of node.md row 96.

use std::io::Write;

use culvert_core::telemetry::{Connection, Event, Reason, Reporter};
use serde_json::{Map, Value, json};

/// Writes one line; a log that cannot be written never stops traffic.
pub(crate) fn line(value: &Value) {
    let mut text = printed(value);
    text.push('\n');
    let _lost = std::io::stderr().lock().write_all(text.as_bytes());
}

/// The line, without characters that JSON leaves as they are and that terminals or readers of lines take for more than text:
/// DEL, the control characters of Latin-1, and Unicode's ends of lines (attack A28).
fn printed(value: &Value) -> String {
    let text = value.to_string();
    let acts = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if !text.contains(acts) {
        return text;
    }
    let mut printed = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match acts(c) {
            // All of them stand inside strings, where this means the same.
            true => printed.extend(format!("\\u{:04x}", u32::from(c)).chars()),
            false => printed.push(c),
        }
    }
    printed
}

/// Logs what deserves a line.
pub(crate) fn event(event: &Event) {
    if let Some(value) = describe(event) {
        line(&value);
    }
}

fn describe(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Closed { connection, bytes_sent, bytes_received, duration, reason } => {
            let mut fields = connection_fields(connection);
            fields.insert("event".into(), "connection complete".into());
            fields.insert("bytes_sent".into(), json!(bytes_sent));
            fields.insert("bytes_recv".into(), json!(bytes_received));
            fields.insert("duration".into(), format!("{}ms", duration.as_millis()).into());
            if *reason != Reason::Completed {
                fields.insert("error".into(), reason.to_string().into());
            }
            Value::Object(fields)
        }
        Event::TunnelClosed { peer, side, fault } => json!({
            "event": "tunnel closed", "peer": peer.to_string(), "opened_by": side_label(*side), "reason": fault.to_string(),
        }),
        Event::TunnelOpened { peer, identity, side } => json!({
            "event": "tunnel opened", "peer": peer.to_string(), "opened_by": side_label(*side), "identity": identity.to_string(),
        }),
        Event::DryRun { policy, denies, .. } => {
            json!({"event": "dry run", "policy": policy, "would_deny": denies})
        }
        Event::HeadersIgnored { peer, count } => {
            json!({"event": "headers ignored", "peer": peer.to_string(), "count": count})
        }
        Event::EndpointEjected { service, endpoint, lasts } => json!({
            "event": "endpoint ejected", "service": service.to_string(), "endpoint": endpoint.to_string(),
            "lasts": format!("{}s", lasts.as_secs()),
        }),
        Event::EndpointReturned { service, endpoint } => json!({
            "event": "endpoint returned", "service": service.to_string(), "endpoint": endpoint.to_string(),
        }),
        Event::Misuse(what) => json!({"event": "driver misuse", "what": what}),
        Event::WorkerRestarted { why, restarts } => {
            json!({"event": "worker restarted", "error": why, "restarts": restarts})
        }
        Event::Opened(_) | Event::Drained => return None,
    })
}

fn side_label(side: Reporter) -> &'static str {
    match side {
        Reporter::Source => "us",
        Reporter::Destination => "peer",
    }
}

fn connection_fields(connection: &Connection) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value.into());
        }
    };
    let source = connection.source_workload.as_deref();
    let destination = connection.destination_workload.as_deref();
    put("src.addr", Some(connection.source.to_string()));
    put("src.workload", source.map(|w| w.name.to_string()));
    put("src.namespace", source.map(|w| w.namespace().to_owned()));
    put("src.identity", connection.source_identity.as_ref().map(ToString::to_string));
    put("dst.addr", Some(connection.target.unwrap_or(connection.destination).to_string()));
    put("dst.hbone_addr", connection.hbone.map(|address| address.to_string()));
    put("dst.service", connection.service.as_ref().map(|service| service.key.hostname.to_string()));
    put("dst.workload", destination.map(|w| w.name.to_string()));
    put("dst.namespace", destination.map(|w| w.namespace().to_owned()));
    put("dst.identity", connection.destination_identity.as_ref().map(ToString::to_string));
    put("policy", connection.policy.clone());
    put("path", Some(connection.path.label().to_owned()));
    let direction = match connection.reporter {
        Reporter::Source => "outbound",
        Reporter::Destination => "inbound",
    };
    put("direction", Some(direction.to_owned()));
    fields
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use culvert_core::telemetry::Path;
    use culvert_core::time::WallTime;
    use quickcheck::quickcheck;

    use super::*;

    /// Every event that has a text of somebody else's in it, with `text` in each place.
    fn events_with(text: &str) -> Vec<Event> {
        let address = std::net::SocketAddr::from(([10, 0, 0, 1], 80));
        let connection = Arc::new(Connection {
            reporter: Reporter::Destination,
            path: Path::Hbone,
            source: address,
            destination: address,
            hbone: None,
            target: None,
            source_identity: None,
            destination_identity: None,
            source_workload: None,
            destination_workload: None,
            service: None,
            policy: Some(text.to_owned()),
            trace: None,
            opened: WallTime::from_unix_secs(0),
        });
        let (duration, reason) = (Duration::ZERO, Reason::SourceReset);
        vec![
            Event::Closed {
                connection: connection.clone(),
                bytes_sent: 0,
                bytes_received: 0,
                duration,
                reason,
            },
            Event::DryRun { connection, policy: text.to_owned(), denies: true },
            Event::WorkerRestarted { why: text.to_owned(), restarts: 1 },
        ]
    }

    fn is_one_line_with(text: &str) -> bool {
        events_with(text).iter().filter_map(describe).all(|value| {
            let line = printed(&value);
            let read: Option<Value> = serde_json::from_str(&line).ok();
            let kept =
                |value: &Value| value.as_object().is_some_and(|o| o.values().any(|field| field == text));
            line.lines().count() == 1
                && !line.contains(|c: char| c.is_control() || c == '\u{2028}')
                && read.as_ref().is_some_and(kept)
        })
    }

    #[test]
    fn nothing_that_others_say_makes_a_second_line_of_the_log() {
        for text in [
            "\r\n{\"event\": \"forged\"}",
            "\u{1b}[2J\u{1b}]0;title\u{7}",
            "\"}, {\"a\": \"",
            "\0\u{7f}",
            "\u{9b}2J\u{85}\u{2028}",
        ] {
            assert!(is_one_line_with(text), "{text:?}");
        }
    }

    quickcheck! {
        fn a_line_of_the_log_is_read_as_it_was_meant(text: String) -> bool {
            is_one_line_with(&text)
        }
    }
}
