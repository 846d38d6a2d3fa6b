//! A runtime on a thread of its own.

use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::fault::StartError;

/// Runs what it is given on a thread of its own, until it is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Runtime(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Runtime {
    pub(crate) fn start(name: &str) -> Result<Runtime, StartError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::Runtime)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            // Either it is told, or whoever would tell is gone.
            let _stopped = runtime.block_on(stopped);
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run).map_err(StartError::Runtime)?;
        Ok(Runtime(Arc::new(Inner { handle, stop: Some(stop), thread: Some(thread) })))
    }

    /// Runs a future there and waits for it here; `None` where the runtime ended before it.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = mpsc::channel();
        self.spawn(async move {
            let _gone = sender.send(future.await);
        });
        receiver.recv().ok()
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.handle.spawn(future);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _gone = stop.send(());
        }
        // What runs there may be what drops this: a thread cannot wait for itself.
        if let Some(thread) = self.thread.take().filter(|own| own.thread().id() != thread::current().id()) {
            let _panicked = thread.join();
        }
    }
}
