//! The node's log: one JSON object a line on standard error, the access log with the field names of node.md row 96.

use std::io::Write;

use culvert_core::telemetry::{Connection, Event, Reason, Reporter};
use serde_json::{Map, Value, json};

/// Writes one line; a log that cannot be written never stops traffic.
pub(crate) fn line(value: &Value) {
    let mut text = value.to_string();
    text.push('\n');
    let _lost = std::io::stderr().lock().write_all(text.as_bytes());
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
        Event::Misuse(what) => json!({"event": "driver misuse", "what": what}),
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
