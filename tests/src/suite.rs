//! Asynchronous tests as [`libtest_mimic`] trials.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use libtest_mimic::{Failed, Trial};
use tokio::sync::Mutex;

use crate::Lab;

/// Of a test that takes so long what it waits for will not come; nothing takes a tenth of it.
const HANGS: Duration = Duration::from_mins(15);

/// A list of tests of one suite; each gets the shared [`Lab`].
pub struct Suite {
    name: &'static str,
    lab: Arc<Lab>,
    trials: Vec<Trial>,
}

impl Suite {
    /// A suite; its name stands before the names of its tests.
    pub fn new(name: &'static str, lab: &Arc<Lab>) -> Self {
        Self { name, lab: Arc::clone(lab), trials: Vec::new() }
    }

    /// Adds a test.
    #[must_use]
    pub fn test<F>(mut self, name: &str, body: impl FnOnce(Arc<Lab>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let lab = Arc::clone(&self.lab);
        let run = move || {
            let future = body(Arc::clone(&lab));
            // A task of its own, so that a panicking assertion fails this test alone.
            let result = lab.block_on(move || tokio::spawn(tokio::time::timeout(HANGS, future)));
            let failure = match result {
                Ok(Ok(Ok(()))) => return Ok(()),
                Ok(Ok(Err(error))) => format!("{error:?}"),
                Ok(Err(_)) => format!("it hangs: no end in {} seconds", HANGS.as_secs()),
                Err(panic) => panic.to_string(),
            };
            Err(Failed::from(format!("{failure}\n{}", lab.last_words())))
        };
        self.trials.push(Trial::test(format!("{}::{name}", self.name), run));
        self
    }

    /// The same suite, whose tests get what `make` makes instead: it is called for the first test, and only one at a time
    /// has it.
    pub fn sharing<T, F>(self, make: fn() -> F) -> SharingSuite<T, F> {
        SharingSuite { suite: self, shared: Arc::default(), make }
    }

    /// The trials.
    pub fn into_trials(self) -> Vec<Trial> {
        self.trials
    }
}

/// A suite whose tests share something that each may spoil for the others while it runs, such as a VM's only connection.
pub struct SharingSuite<T, F> {
    suite: Suite,
    shared: Arc<Mutex<Option<T>>>,
    make: fn() -> F,
}

/// What a test does with what it shares with others.
pub type Using<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

impl<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static> SharingSuite<T, F> {
    /// Adds a test.
    #[must_use]
    pub fn test(
        mut self,
        name: &str,
        body: impl for<'a> FnOnce(&'a mut T) -> Using<'a> + Send + 'static,
    ) -> Self {
        let (shared, make) = (Arc::clone(&self.shared), self.make);
        self.suite = self.suite.test(name, move |_| async move {
            let mut slot = shared.lock().await;
            let value = match slot.take() {
                Some(value) => value,
                None => make().await?,
            };
            body(slot.insert(value)).await
        });
        self
    }

    /// As a suite like any other.
    pub fn done(self) -> Suite {
        self.suite
    }
}
