//! `culvert bench` as a user runs it, short and without other proxies.

use std::process::Command;

#[test]
fn a_quick_run_measures_everything_it_can() {
    let output = Command::new(env!("CARGO_BIN_EXE_culvert"))
        .args(["bench", "--quick", "--json", "--against", "none", "--runtime", "tokio,smol,mio"])
        .output();
    let output = output.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 15);
    for line in &lines {
        let figure = line["figure"].as_str().unwrap();
        for runtime in ["tokio", "smol", "mio"] {
            assert!(line[runtime].as_f64().is_some_and(|value| value > 0.0), "{figure}: {line}");
        }
        assert!(line["envoy"].is_null(), "{figure}: {line}");
        let costs = figure.starts_with("cpu") || figure == "memory";
        assert_eq!(line["direct"].is_null(), costs, "{figure}: {line}");
    }
}
