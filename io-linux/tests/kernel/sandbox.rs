//! Gives a test a network namespace of its own: directly where that is permitted, else in a child in a user namespace.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use culvert_linux::netns::Netns;
use culvert_linux::{socket, user_namespace};

const INSIDE: &str = "CULVERT_TEST_INSIDE";
const ALONE: &str = "CULVERT_TEST_ALONE";

/// Runs `body` in a fresh network namespace. `module` is `module_path!()`, `test` the name of the test function.
///
/// Where neither root nor user namespaces are to be had it says so and passes, unless `CI` is set.
pub fn run_isolated(module: &str, test: &str, body: impl FnOnce() + Send) {
    match Netns::create() {
        Ok(netns) => netns.run(body).unwrap(),
        Err(refused) if std::env::var_os(INSIDE).is_some() => panic!("no namespace even inside: {refused}"),
        Err(_) => in_child(module, test),
    }
}

/// Runs the test again in a child process, in a user namespace, where [`run_isolated`] will find what it needs.
fn in_child(module: &str, test: &str) {
    let mut command = user_namespace::reexec(std::iter::empty::<&str>());
    command.env(INSIDE, "1");
    let path = arguments(&mut command, module, test);
    match command.output() {
        Ok(output) => expect_pass(&path, &output),
        Err(refused) => {
            assert!(std::env::var_os("CI").is_none(), "CI must permit user namespaces: {refused}");
            println!("skipped {path}: neither root nor user namespaces: {refused}");
        }
    }
}

/// Tells the child which test to run, and returns the test's path.
fn arguments(command: &mut Command, module: &str, test: &str) -> String {
    let path = module.split_once("::").map_or(test.to_owned(), |(_, rest)| format!("{rest}::{test}"));
    command.args(["--exact", &path, "--nocapture"]);
    path
}

/// A child that found no test of the name would succeed, too.
fn expect_pass(path: &str, output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let passed = output.status.success() && text.contains("1 passed");
    assert!(passed, "{path} {:?}:\n{text}\n{errors}", output.status.signal());
}

/// Runs `body` alone in a child process, for what concerns a whole process, such as its limits.
pub fn run_alone(module: &str, test: &str, body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let mut command = Command::new("/proc/self/exe");
    command.env(ALONE, "1");
    let path = arguments(&mut command, module, test);
    expect_pass(&path, &command.output().unwrap());
}

/// Names the test that calls it.
macro_rules! isolated {
    ($test:ident, $body:expr) => {
        #[test]
        fn $test() {
            crate::sandbox::run_isolated(module_path!(), stringify!($test), $body);
        }
    };
}
pub(crate) use isolated;

/// Waits until a socket is readable, writable or at an end; false after ten seconds.
pub fn ready(fd: &impl std::os::fd::AsRawFd, events: i16) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: one entry, and it outlives the call.
    unsafe { libc::poll(&raw mut poll, 1, 10_000) == 1 }
}

/// Dials and waits for the outcome; the stream that comes back blocks, but never for more than ten seconds.
pub fn connect(target: SocketAddr, options: &socket::DialOptions) -> io::Result<std::net::TcpStream> {
    let fd: OwnedFd = socket::dial(target, options).map_err(io::Error::other)?;
    assert!(ready(&fd, libc::POLLOUT), "no outcome of dialling {target}");
    if let Some(error) = socket::take_error(&fd)? {
        return Err(error);
    }
    let stream = std::net::TcpStream::from(fd);
    stream.set_nonblocking(false)?;
    let patience = Some(std::time::Duration::from_secs(10));
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(patience)?;
    Ok(stream)
}

/// Waits for one connection.
pub fn accept(listener: &std::net::TcpListener) -> (std::net::TcpStream, SocketAddr) {
    assert!(ready(listener, libc::POLLIN), "nothing arrives at {:?}", listener.local_addr());
    let (fd, peer) = socket::accept(listener).unwrap().unwrap();
    let stream = std::net::TcpStream::from(fd);
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    (stream, peer)
}
