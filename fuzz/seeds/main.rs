//! Writes the seed corpora: `seeds DIRECTORY`.

mod engine;
mod proxy;
mod resource;
mod script;
mod text;

use std::path::Path;
use std::{env, fs, io};

use culvert_fuzz::peers;
use culvert_sim::scenario::Scenario;
// What instrumented code calls is in there.
use libfuzzer_sys as _;

fn main() -> io::Result<()> {
    let directory = env::args_os().nth(1).ok_or_else(|| io::Error::other("seeds DIRECTORY"))?;
    let directory = Path::new(&directory);
    for (target, texts) in text::ALL {
        for (nth, text) in texts.iter().enumerate() {
            write(directory, target, &format!("{nth:02}"), text.as_bytes())?;
        }
    }
    write(directory, "authority", "long", format!("{}:80", "a.".repeat(126) + "a").as_bytes())?;
    write(directory, "baggage", "many", vec!["a=b"; 65].join(",").as_bytes())?;
    for (name, certificate) in peers::certificates() {
        write(directory, "svid_der", name, &certificate)?;
    }
    for (name, header) in proxy::headers() {
        write(directory, "proxy_protocol", name, &header)?;
    }
    for (name, bytes) in resource::resources() {
        write(directory, "resource", &name, &bytes)?;
    }
    for (name, body) in engine::scripts() {
        write_script(directory, "engine_steps", name, &body)?;
    }
    for (name, body) in script::mux() {
        write_script(directory, "mux_bytes", name, &body)?;
    }
    for (name, body) in script::tls() {
        write_script(directory, "tls_bytes", name, &body)?;
    }
    // Short ones leave more to mutate, and more runs for the time.
    for (seed, length) in [(1, 40), (2, 80), (3, 120), (4, 200), (5, 300), (6, 400)] {
        let bytes = Scenario::bytes_of(seed);
        write(directory, "scenario", &format!("{seed:02}"), &bytes[..length])?;
    }
    for target in ["capture_total", "policy_oracle"] {
        for nth in 0..24 {
            write_script(directory, target, &format!("{nth:02}"), &script::noise(target, nth))?;
        }
    }
    Ok(())
}

fn write_script(directory: &Path, target: &str, name: &str, body: &[u8]) -> io::Result<()> {
    write(directory, target, name, &[&[culvert_fuzz::input::VERSION], body].concat())
}

fn write(directory: &Path, target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = directory.join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}
