//! Leases that end are renewed for as long as their adapter is where it is (RFC 2131, 4.4.5).

use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::configure::{Configured, Leased, run};
use super::dhcp::{Renewal, Whom};
use super::{Network, dhcp};
use crate::causes::with_causes;

/// Between two attempts to get another lease after one was lost.
const PAUSE: Duration = Duration::from_mins(1);

/// Before the first one: a server that grants nothing but moments must not keep us busy.
const BREATH: Duration = Duration::from_secs(1);

/// Renews a lease until it is dropped. Between the requests it costs no thread.
#[derive(Debug)]
pub(super) struct Keeper(AbortHandle);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Keeper {
    /// Of the lease that an adapter of `namespace` has, if that one ends.
    pub(super) fn of(network: &Network, namespace: &str, leased: Leased) -> Option<Self> {
        if !leased.lease.is_for_a_time() {
            return None;
        }
        let (network, namespace) = (network.clone(), namespace.to_owned());
        let task = tokio::task::spawn_local(async move { follow(&network, &namespace, leased).await });
        Some(Self(task.abort_handle()))
    }
}

async fn follow(network: &Network, namespace: &str, mut leased: Leased) {
    while leased.lease.is_for_a_time() {
        let interface = leased.interface();
        tracing::info!(interface, seconds = leased.lease.seconds(), "an address is leased for a time");
        let loss = keep(&leased).await;
        if !leased.has_place() {
            return;
        }
        tracing::warn!(interface, ?loss, "the lease of an address was lost, and the address is removed");
        let this = leased.clone();
        if let Err(error) = run(move || this.withdraw()).await {
            tracing::warn!(
                interface,
                error = with_causes(&error),
                "an address without a lease was not removed"
            );
        }
        sleep(BREATH).await;
        let Some((settings, next)) = another(&leased).await else { return };
        network.with_adapter(namespace, leased.id(), |adapter| adapter.leased = Some(settings));
        if let Err(error) = network.write_resolv_conf(namespace) {
            tracing::warn!(
                interface,
                error = with_causes(&error),
                "another lease's name servers are not used"
            );
        }
        leased = next;
    }
}

async fn keep(leased: &Leased) -> dhcp::Loss {
    let ask = async |whom: Whom, renewal: Renewal| {
        let this = leased.clone();
        let answer = run(move || this.renew(&renewal, whom)).await.unwrap_or_else(|error| {
            tracing::debug!(error = with_causes(&error), "more time could not be asked for");
            None
        });
        tracing::debug!(
            interface = leased.interface(),
            answered = answer.is_some(),
            "more time was asked for"
        );
        answer
    };
    leased.lease.clone().keep(ask).await
}

/// The next lease that a server grants.
async fn another(leased: &Leased) -> Option<(lcow_protocol::settings::Network, Leased)> {
    while leased.has_place() {
        let this = leased.clone();
        match run(move || this.again()).await {
            Ok(Configured { settings, leased }) => return Some((settings, leased?)),
            Err(error) => tracing::debug!(error = with_causes(&error), "another lease was asked for in vain"),
        }
        sleep(PAUSE).await;
    }
    None
}
