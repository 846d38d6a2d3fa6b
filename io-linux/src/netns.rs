//! Network namespaces, held by file descriptor.
//!
//! A socket belongs to the namespace it was created in, and works from any thread after that. So a worker that needs
//! a socket in a pod's namespace enters it for one call ([`Netns::enter_scoped`]), and longer work goes to a thread of
//! its own ([`Netns::run`]). A namespace lives as long as a descriptor, a socket or a thread holds it; none of these
//! functions leaves anything behind in the file system.

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use crate::sys;

const OWN: &str = "/proc/thread-self/ns/net";

/// What tells one namespace from another for as long as either lives: device and inode of its `nsfs` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetnsId {
    /// Device number of the `nsfs` that holds the namespace.
    pub device: u64,
    /// Inode number; unique among the living namespaces of a machine.
    pub inode: u64,
}

/// An owned handle on a network namespace.
#[derive(Debug)]
pub struct Netns {
    fd: OwnedFd,
}

impl Netns {
    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// What opening `/proc/thread-self/ns/net` says.
    pub fn current() -> io::Result<Self> {
        Self::open(OWN)
    }

    /// Opens a namespace by a path such as `/proc/PID/ns/net` or `/run/netns/NAME`.
    ///
    /// # Errors
    /// What opening says, and `InvalidInput` when the file is not a network namespace.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        File::open(path).map(OwnedFd::from).and_then(Self::from_fd)
    }

    /// Takes over a descriptor, as handed in by a container runtime.
    ///
    /// # Errors
    /// `InvalidInput` when it is not a network namespace.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        if sys::is_network_namespace(fd.as_fd()) {
            Ok(Self { fd })
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a network namespace"))
        }
    }

    /// Makes a new, anonymous namespace: a loopback that is down, and nothing else.
    ///
    /// # Errors
    /// `PermissionDenied` without `CAP_SYS_ADMIN` in the user namespace; see [`crate::user_namespace`].
    pub fn create() -> io::Result<Self> {
        on_fresh_thread(|| sys::unshare_network().and_then(|()| Self::current()))?
    }

    /// A second handle on the same namespace.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.fd.try_clone().map(|fd| Self { fd })
    }

    /// The namespace's identity, to compare two handles.
    ///
    /// # Errors
    /// What `fstat` says.
    pub fn identity(&self) -> io::Result<NetnsId> {
        let metadata = File::from(self.fd.try_clone()?).metadata()?;
        Ok(NetnsId { device: metadata.dev(), inode: metadata.ino() })
    }

    /// Runs `work` to its end on a fresh thread inside the namespace. A panic of `work` goes on in the caller.
    ///
    /// # Errors
    /// No thread could be made, or entering was refused; `work` has not run then.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        on_fresh_thread(|| sys::set_network_namespace(self.fd.as_fd()).map(|()| work()))?
    }

    /// Moves the calling thread into the namespace until the guard is dropped.
    ///
    /// Meant for the few system calls that make a socket. Nothing may be awaited meanwhile: the guard is not `Send`,
    /// and a task that runs on this thread in between would find itself in the wrong namespace.
    ///
    /// # Errors
    /// The thread's own namespace could not be held, or entering was refused; the thread has not moved then.
    pub fn enter_scoped(&self) -> io::Result<Entered> {
        let home = Self::current()?;
        sys::set_network_namespace(self.fd.as_fd())?;
        Ok(Entered { home, here: PhantomData })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Proof that the thread is in another namespace; dropping it brings the thread home.
///
/// When the way home is closed the process aborts: a worker that went on in a pod's namespace would open the next
/// pod's sockets there, which is worse than not running.
#[derive(Debug)]
#[must_use = "dropping the guard leaves the namespace"]
pub struct Entered {
    home: Netns,
    here: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Err(refused) = sys::set_network_namespace(self.home.fd.as_fd()) {
            eprintln!("cannot leave a network namespace, aborting: {refused}");
            std::process::abort();
        }
    }
}

fn on_fresh_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, work)?;
        worker.join().or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_on_one_namespace_have_one_identity() {
        let mine = Netns::current().unwrap();
        assert_eq!(mine.identity().unwrap(), mine.try_clone().unwrap().identity().unwrap());
        assert_eq!(mine.identity().unwrap(), Netns::current().unwrap().identity().unwrap());
    }

    #[test]
    fn a_file_that_is_no_namespace_is_refused() {
        let refused = Netns::open("/proc/self/status").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert!(Netns::open("/proc/self/ns/uts").is_err());
        assert_eq!(Netns::open("/nonexistent").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
