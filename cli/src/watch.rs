//! Watches one file and hands over its new content whenever that has really changed.
//!
//! The directory is watched, not the file: editors replace files by rename, and Kubernetes swaps a symbolic link beside
//! the one that names the file. Events only say when to look; what counts is the content. A look every second besides
//! finds what events cannot tell, such as a link to a file elsewhere, and stands in where inotify is not to be had.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

mod inotify;

use inotify::{Events, Wake, Waker};

/// A file is read when its directory has been quiet for this long, so that a writer can finish.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// A directory that is never quiet does not put off reading for longer than so many times that.
const DEBOUNCE_LIMIT: u32 = 10;
/// How often the file is looked at without an event.
const POLL: Duration = Duration::from_secs(1);

/// What a watched file turned into.
#[derive(Debug)]
pub enum Change {
    /// It has this content now.
    Content(Vec<u8>),
    /// It cannot be read any more; told once until it can be read again.
    Unreadable(io::Error),
}

/// A running watch; dropping it ends the watching thread.
#[derive(Debug)]
pub struct Watch {
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

/// Reads `path`, starts to watch it and returns its content as it is now.
///
/// `changed` is called on the watch's own thread, with every content that differs from the one before it. Of changes in
/// quick succession only the last is told.
///
/// # Errors
///
/// The system's, if the file cannot be read or the thread not started.
pub fn watch(
    path: impl Into<PathBuf>,
    changed: impl FnMut(Change) + Send + 'static,
) -> io::Result<(Vec<u8>, Watch)> {
    watch_until_quiet(path, DEBOUNCE, changed)
}

/// As [`watch`], where writers need another time to finish: the file is read once its directory was quiet for `quiet`.
///
/// # Errors
///
/// As those of [`watch`].
pub fn watch_until_quiet(
    path: impl Into<PathBuf>,
    quiet: Duration,
    changed: impl FnMut(Change) + Send + 'static,
) -> io::Result<(Vec<u8>, Watch)> {
    let path = path.into();
    let (events, waker) = Events::open(directory(&path))?;
    // Events are on before the first read, so no change falls between the two.
    let content = fs::read(&path)?;
    let mut watcher = Watcher { path, quiet, known: Some(content.clone()), changed };
    let thread = thread::Builder::new().name("watch".into()).spawn(move || watcher.run(&events))?;
    Ok((content, Watch { waker, thread: Some(thread) }))
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.waker.stop();
        let Some(thread) = self.thread.take() else { return };
        // A callback may drop its own watch; a thread cannot wait for itself.
        if thread.thread().id() != thread::current().id() {
            let _ = thread.join();
        }
    }
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

struct Watcher<F> {
    path: PathBuf,
    quiet: Duration,
    /// The content told last; `None` while it cannot be read.
    known: Option<Vec<u8>>,
    changed: F,
}

impl<F: FnMut(Change)> Watcher<F> {
    fn run(&mut self, events: &Events) {
        loop {
            match events.wait(POLL) {
                Wake::Stop => return,
                Wake::Quiet => {}
                Wake::Event => {
                    if settle(events, self.quiet) == Wake::Stop {
                        return;
                    }
                }
            }
            self.look();
        }
    }

    fn look(&mut self) {
        match fs::read(&self.path) {
            Ok(content) => {
                if self.known.as_ref() != Some(&content) {
                    self.known = Some(content.clone());
                    (self.changed)(Change::Content(content));
                }
            }
            Err(error) => {
                if self.known.take().is_some() {
                    (self.changed)(Change::Unreadable(error));
                }
            }
        }
    }
}

/// Waits until the directory is quiet, within [`DEBOUNCE_LIMIT`].
fn settle(events: &Events, quiet: Duration) -> Wake {
    let limit = Instant::now() + quiet * DEBOUNCE_LIMIT;
    while Instant::now() < limit {
        match events.wait(quiet) {
            Wake::Event => {}
            end => return end,
        }
    }
    Wake::Quiet
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// Longer than any machine needs; only a failing test waits for it.
    const LONG: Duration = Duration::from_secs(20);

    fn watched(path: &Path) -> (Watch, Receiver<Change>) {
        let (sender, receiver) = channel();
        let (_, watch) = watch(path, move |change| {
            let _ = sender.send(change);
        })
        .unwrap();
        (watch, receiver)
    }

    fn content(changes: &Receiver<Change>) -> Vec<u8> {
        match changes.recv_timeout(LONG).unwrap() {
            Change::Content(content) => content,
            Change::Unreadable(error) => panic!("{error}"),
        }
    }

    #[test]
    fn tells_new_content_written_in_place_and_by_rename() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mesh.yaml");
        fs::write(&path, "one").unwrap();
        let (_watch, changes) = watched(&path);
        fs::write(&path, "two").unwrap();
        // A look between truncation and write may see an empty file first; what matters is where it ends.
        while content(&changes) != b"two" {}
        let other = dir.path().join("new");
        fs::write(&other, "three").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(content(&changes), b"three");
    }

    #[test]
    fn a_rewrite_of_the_same_content_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mesh.yaml");
        fs::write(&path, "same").unwrap();
        let (_watch, changes) = watched(&path);
        let other = dir.path().join("new");
        fs::write(&other, "same").unwrap();
        fs::rename(&other, &path).unwrap();
        fs::write(&other, "different").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(content(&changes), b"different");
    }

    #[test]
    fn follows_a_config_map_swap() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (version, text) in [("v1", "one"), ("v2", "two")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("mesh.yaml"), text).unwrap();
        }
        symlink("v1", at("..data")).unwrap();
        symlink("..data/mesh.yaml", at("mesh.yaml")).unwrap();
        let (_watch, changes) = watched(&at("mesh.yaml"));
        symlink("v2", at("..next")).unwrap();
        fs::rename(at("..next"), at("..data")).unwrap();
        assert_eq!(content(&changes), b"two");
    }

    #[test]
    fn a_file_that_goes_is_told_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mesh.yaml");
        fs::write(&path, "one").unwrap();
        let (_watch, changes) = watched(&path);
        fs::remove_file(&path).unwrap();
        assert!(matches!(changes.recv_timeout(LONG), Ok(Change::Unreadable(_))));
        let other = dir.path().join("new");
        fs::write(&other, "one").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(content(&changes), b"one");
    }

    #[test]
    fn polling_alone_finds_a_change_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let target = elsewhere.path().join("real");
        fs::write(&target, "one").unwrap();
        let link = dir.path().join("mesh.yaml");
        symlink(&target, &link).unwrap();
        let (_watch, changes) = watched(&link);
        fs::write(elsewhere.path().join("new"), "two").unwrap();
        fs::rename(elsewhere.path().join("new"), &target).unwrap();
        assert_eq!(content(&changes), b"two");
    }

    #[test]
    fn dropping_ends_the_thread() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mesh.yaml");
        fs::write(&path, "one").unwrap();
        let (watch, changes) = watched(&path);
        drop(watch);
        // The callback, and with it the sender, lives in the thread.
        assert!(changes.recv().is_err());
        assert!(super::watch(dir.path().join("absent"), |_| {}).is_err());
    }
}
