//! `culvert demo` as people run it: the program itself, in each world that this machine permits.
#![expect(clippy::unwrap_used, reason = "a test panics to fail, in its helpers too")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use culvert::demo::{FlowResult, Summary, scenario};
use culvert_linux::netns::Netns;
use culvert_linux::user_namespace;
use serde::Deserialize;

/// The user and the group that own nothing.
const NOBODY: u32 = 65_534;

/// Demos on loopback addresses share them.
static LOOPBACK: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    LOOPBACK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A copy of the program where every user may read it, and a directory for its temporary files.
struct Copy {
    dir: tempfile::TempDir,
}

impl Copy {
    fn new() -> Copy {
        let dir = tempfile::tempdir().unwrap();
        let copy = Copy { dir };
        fs::set_permissions(copy.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // By another process: a program that this one still writes, in a child forked meanwhile, cannot be started.
        let copied =
            Command::new("cp").arg(env!("CARGO_BIN_EXE_culvert")).arg(copy.program()).status().unwrap();
        assert!(copied.success());
        fs::create_dir(copy.temporary()).unwrap();
        fs::set_permissions(copy.temporary(), fs::Permissions::from_mode(0o777)).unwrap();
        copy
    }

    fn program(&self) -> PathBuf {
        self.dir.path().join("culvert")
    }

    fn temporary(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }

    fn demo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command.arg("demo").args(arguments).env("TMPDIR", self.temporary()).current_dir(self.dir.path());
        command
    }

    /// Fails if a demo has left anything: a file, a process, a namespace with a name.
    fn assert_clean(&self, named: &BTreeSet<PathBuf>) {
        assert_eq!(entries(&self.temporary()), BTreeSet::new());
        let mut running = Vec::new();
        for process in entries(Path::new("/proc")) {
            let command = fs::read(process.join("cmdline")).unwrap_or_default();
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            if contains(&environment, self.temporary().as_os_str().as_encoded_bytes()) {
                running.push(String::from_utf8_lossy(&command).replace('\0', " "));
            }
        }
        assert_eq!(running, Vec::<String>::new());
        assert_eq!(entries(Path::new("/run/netns")), *named);
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn entries(dir: &Path) -> BTreeSet<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[derive(Deserialize)]
struct Last {
    summary: Summary,
}

/// Runs a demo that must succeed, and checks every line.
fn assert_shows_everything(copy: &Copy, mut command: Command) -> Output {
    let named = entries(Path::new("/run/netns"));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}{said}");
    let mut lines: Vec<&str> = text.lines().collect();
    let last: Last = serde_json::from_str(lines.pop().unwrap()).unwrap();
    let flows: Vec<FlowResult> = lines.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for flow in &flows {
        assert!(flow.ok && flow.differs.is_empty(), "{flow:?}");
    }
    let shown: Vec<&str> = flows.iter().map(|flow| flow.name.as_str()).collect();
    for scenario in scenario::all() {
        // This one needs programs that not every machine has.
        assert!(shown.contains(&scenario.name) || scenario.name == "curl-http", "{shown:?}");
    }
    let summary = last.summary;
    assert_eq!((summary.flows, summary.ok), (flows.len() as u64, flows.len() as u64));
    assert_eq!(summary.canary_leaks, 0);
    assert!(summary.canary_seen_plain > 0);
    copy.assert_clean(&named);
    output
}

/// Whether to go on: without permission a test has nothing to look at, which is no success where CI promises it.
fn permitted(what: &str, tried: Result<(), String>) -> bool {
    let Err(why) = tried else { return true };
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{what} is not permitted: {why}");
    eprintln!("skipped: {what} is not permitted: {why}");
    false
}

fn namespaces() -> bool {
    permitted("a network namespace", Netns::create().map(drop).map_err(|error| error.to_string()))
}

fn user_namespaces() -> bool {
    let mut command = Command::new("true");
    let tried = user_namespace::isolate(&mut command).status();
    permitted("a user namespace", tried.map(drop).map_err(|error| error.to_string()))
}

/// Whether this process may become another user.
fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").unwrap().lines().any(|line| line.starts_with("Uid:\t0\t0\t"))
}

fn as_nobody(command: &mut Command) -> &mut Command {
    command.gid(NOBODY).uid(NOBODY)
}

#[test]
fn in_network_namespaces() {
    if !namespaces() {
        return;
    }
    let copy = Copy::new();
    let output = assert_shows_everything(&copy, copy.demo(&["--json"]));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn as_an_ordinary_user() {
    if !user_namespaces() {
        return;
    }
    let copy = Copy::new();
    let mut command = copy.demo(&["--json"]);
    if is_root() {
        as_nobody(&mut command);
    }
    let output = assert_shows_everything(&copy, command);
    // Anything said would be that it went on without namespaces.
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn on_loopback_addresses() {
    let _alone = alone();
    let copy = Copy::new();
    let output = assert_shows_everything(&copy, copy.demo(&["--json", "--loopback"]));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn where_no_namespace_is_permitted_it_says_so_and_goes_on() {
    let _alone = alone();
    // The limits of a user namespace's own: nobody else is concerned.
    let forbid = "echo 0 > /proc/sys/user/max_net_namespaces && echo 0 > /proc/sys/user/max_user_namespaces";
    let shell = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", script]);
        command
    };
    let tried = match shell(forbid).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    };
    if !permitted("limiting namespaces", tried) {
        return;
    }
    let copy = Copy::new();
    let mut command = shell(&format!("{forbid}; exec ./culvert demo --json"));
    command.env("TMPDIR", copy.temporary()).current_dir(copy.dir.path());
    let output = assert_shows_everything(&copy, command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("network namespaces are not permitted here ("), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// Interrupts a demo after its first flow.
fn assert_ends_clean(arguments: &[&str], with: impl Fn(&mut Command)) {
    let copy = Copy::new();
    let named = entries(Path::new("/run/netns"));
    let mut command = copy.demo(arguments);
    with(&mut command);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    assert!(first.contains("cross-node"), "{first}");
    let interrupt = Command::new("kill").arg("-INT").arg(child.id().to_string()).status().unwrap();
    assert!(interrupt.success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(1), "{status} {said}");
    assert_eq!(said, "error: interrupted\n");
    assert!(!rest.contains("summary"), "{rest}");
    copy.assert_clean(&named);
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    if namespaces() {
        assert_ends_clean(&["--json"], |_| ());
    }
    if user_namespaces() && is_root() {
        assert_ends_clean(&["--json"], |command| {
            as_nobody(command);
        });
    }
    let _alone = alone();
    assert_ends_clean(&["--json", "--loopback"], |_| ());
}

#[test]
fn the_steps_to_try_by_hand_work() {
    let has = |program: &str| {
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    if !["bash", "curl", "python3"].into_iter().all(has) {
        let missing = Err("bash, curl or python3 is missing".into());
        assert!(!permitted("trying by hand", missing));
        return;
    }
    let _alone = alone();
    let copy = Copy::new();
    let shown = copy.demo(&["--loopback"]).output().unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success(), "{text}");
    let from = text.find("cd \"$(mktemp -d)\"").unwrap();
    let steps = text[from..].split_inclusive("kill $(jobs -p)\n").next().unwrap();
    let named = entries(Path::new("/run/netns"));
    let script = format!("set -e\n{steps}wait || true\nrm -r \"$PWD\"\n");
    let mut bash = Command::new("timeout");
    bash.args(["60", "bash", "-c", &script]).env("TMPDIR", copy.temporary()).stdin(Stdio::null());
    let output = bash.output().unwrap();
    let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{said}");
    assert!(out.contains("hello from orders"), "{out}{said}");
    assert!(out.contains("\"policy\":\"shop/nobody\""), "{out}{said}");
    copy.assert_clean(&named);
}
