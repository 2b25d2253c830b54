//! A thread for tasks that compute much, beside those that must be quick. Read [`SideThread::start`] first.

use tokio::runtime::{Builder, Handle, Runtime};

/// The thread; it ends when this is dropped, and its tasks with it.
#[derive(Debug)]
pub struct SideThread(Option<Runtime>);

impl SideThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no room for it.
    pub fn start(name: &str) -> std::io::Result<Self> {
        let built = Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build();
        built.map(|runtime| Self(Some(runtime)))
    }

    /// Where tasks of the thread are spawned.
    ///
    /// # Panics
    /// Never: the thread is there until this is dropped.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        self.0.as_ref().expect("it is there until it is dropped").handle()
    }
}

impl Drop for SideThread {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // A drop that waits would panic where the owner is a task itself.
            runtime.shutdown_background();
        }
    }
}
