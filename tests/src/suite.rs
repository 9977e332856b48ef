//! Asynchronous tests as [`libtest_mimic`] trials.

use std::future::Future;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};

use crate::Lab;

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
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let lab = Arc::clone(&self.lab);
        let run = move || {
            let future = body(Arc::clone(&lab));
            // A task of its own, so that a panicking assertion fails this test alone.
            let result = lab.block_on(move || tokio::spawn(future));
            let failure = match result {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => format!("{error:?}"),
                Err(panic) => panic.to_string(),
            };
            Err(Failed::from(format!("{failure}\n{}", lab.last_words())))
        };
        self.trials.push(Trial::test(format!("{}::{name}", self.name), run));
        self
    }

    /// The trials.
    pub fn into_trials(self) -> Vec<Trial> {
        self.trials
    }
}
