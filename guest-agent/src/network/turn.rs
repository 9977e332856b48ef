//! Whose turn it is to configure the adapters of a namespace.

use std::rc::Rc;

use tokio::sync::watch;

/// Requests for one namespace take turns: who has got the turn knows that nothing there is half done, and in an order other
/// than that of the adapters. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn(Rc<watch::Sender<bool>>);

/// Somebody's turn, which ends with it.
#[derive(Debug)]
pub(super) struct Taken(Turn);

impl Turn {
    /// Waits until nobody else has it.
    pub(super) async fn take(&self) -> Taken {
        let mut taken = self.0.subscribe();
        while self.0.send_replace(true) {
            // The sender is ours, so it cannot be gone.
            let _ = taken.wait_for(|taken| !taken).await;
        }
        Taken(self.clone())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.0.send_replace(false);
    }
}
