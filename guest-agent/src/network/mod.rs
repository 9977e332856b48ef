//! Network adapters and the namespaces that they are for (spec sections 6.6 and 10).
//!
//! Adapters normally arrive before their pod, so a namespace is first a record; once a container's process is
//! attached to it, its adapters are moved into that process's network namespace and configured there.

mod adapter;
mod configure;
mod dhcp;
mod error;
mod keeper;
mod netlink;
mod plan;
mod records;
mod relocate;
mod resolv_conf;
mod turn;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use lcow_protocol::settings;

use configure::{Configured, Job};
pub(crate) use error::Error;
use keeper::Keeper;
use records::{Adapter, Records};

/// Where the adapters of a namespace belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The network namespace of that process.
    Process(u32),
    /// The utility VM's own.
    Machine,
}

impl Place {
    /// The file of its network namespace.
    fn namespace(self) -> String {
        match self {
            Self::Process(pid) => format!("/proc/{pid}/ns/net"),
            Self::Machine => "/proc/self/ns/net".to_owned(),
        }
    }
}

/// All namespaces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network(Rc<RefCell<Records>>);

impl Network {
    /// An adapter for a namespace; configured at once if a process is attached to that.
    pub(crate) async fn add(&self, settings: settings::Network) -> Result<(), Error> {
        let namespace = settings.namespace_id.to_ascii_lowercase();
        let id = settings.id.to_ascii_lowercase();
        let known = || self.0.borrow().has_adapter(&namespace, &id);
        if known() {
            return Err(Error::Exists { namespace, id });
        }
        // Whatever cannot be applied is refused before anything is changed.
        plan::Plan::new(&settings, false)?;
        adapter::find(&settings).await?;
        if known() {
            return Err(Error::Exists { namespace, id });
        }
        self.0.borrow_mut().add_adapter(&namespace, &id, settings);
        let synced = self.sync(&namespace).await;
        if synced.is_err() {
            self.0.borrow_mut().drop_adapter(&namespace, &id);
        }
        synced
    }

    /// Forgets an adapter; the host takes the device away.
    pub(crate) fn remove(&self, namespace: &str, id: &str) {
        let (namespace, id) = (namespace.to_ascii_lowercase(), id.to_ascii_lowercase());
        let mut records = self.0.borrow_mut();
        records.forget_mtu(&id);
        if !records.drop_adapter(&namespace, &id) {
            tracing::warn!(namespace, "removing an adapter of a namespace that is not known");
        }
    }

    /// Makes sure that there is a record.
    pub(crate) fn ensure(&self, namespace: &str) {
        self.0.borrow_mut().ensure(&namespace.to_ascii_lowercase());
    }

    /// Whether there is a record.
    pub(crate) fn knows(&self, namespace: &str) -> bool {
        self.0.borrow().knows(&namespace.to_ascii_lowercase())
    }

    /// The text of `/etc/resolv.conf` for a namespace, if there is a record.
    pub(crate) fn resolv_conf(&self, namespace: &str) -> Option<Result<String, Error>> {
        self.0.borrow().resolv_conf(&namespace.to_ascii_lowercase())
    }

    /// Says where the adapters of a namespace belong, and configures those that have come so far. What leases say about
    /// names goes into the file `resolv_conf`, which is a container's own. The VM's own namespace may have several.
    pub(crate) async fn attach(
        &self,
        namespace: &str,
        place: Place,
        resolv_conf: PathBuf,
    ) -> Result<(), Error> {
        let namespace = namespace.to_ascii_lowercase();
        self.0.borrow_mut().attach(&namespace, place, resolv_conf.clone())?;
        let synced = self.sync(&namespace).await;
        if synced.is_err() {
            self.detach(&namespace, &resolv_conf);
        }
        synced
    }

    /// The container with that `resolv_conf` has gone. A record with adapters stays, for these come back to the VM.
    ///
    /// Nothing is taken off an adapter in the VM's own namespace: its settings are the adapter's, which is still there, and
    /// others use that network, too. The next container finds it as it should be, or has it put right.
    pub(crate) fn detach(&self, namespace: &str, resolv_conf: &Path) {
        self.0.borrow_mut().detach(&namespace.to_ascii_lowercase(), resolv_conf);
    }

    /// Moves and configures the adapters of a namespace that are not where they belong. Afterwards none is left that
    /// somebody else is still at.
    async fn sync(&self, namespace: &str) -> Result<(), Error> {
        self.sync_by(namespace, async |job| self.configure(job).await).await
    }

    async fn sync_by(
        &self,
        namespace: &str,
        mut configure: impl AsyncFnMut(Job) -> Result<Configured, Error>,
    ) -> Result<(), Error> {
        let Some(turn) = self.turn(namespace) else { return Ok(()) };
        let _taken = turn.take().await;
        while let Some(job) = self.take_unplaced(namespace) {
            let (id, place) = (job.id.clone(), job.place);
            let done = configure(job).await.inspect_err(|_| {
                // Unless its pod has gone meanwhile and another has it.
                let give_up =
                    |adapter: &mut Adapter| adapter.placed = adapter.placed.filter(|now| *now != place);
                self.with_adapter(namespace, &id, give_up);
            })?;
            if let Some(lease) = done.leased {
                let keeper = Keeper::of(self, namespace, lease);
                self.with_adapter(namespace, &id, |adapter| {
                    // Its pod may have gone while a server was waited for; then nobody has the address.
                    if adapter.placed == Some(place) {
                        (adapter.leased, adapter.keeper) = (Some(done.settings), keeper);
                    }
                });
            }
        }
        self.write_resolv_conf(namespace)
    }

    /// Its interface is looked up now: one that came back from a pod may have another name.
    async fn configure(&self, job: Job) -> Result<Configured, Error> {
        let name = adapter::find(&job.settings).await?;
        let mtu = self.0.borrow_mut().original_mtu(&job.id, configure::mtu(&name)?);
        configure::run(move || job.run(&name, mtu)).await
    }

    // Each borrows for as long as it takes, and not for the loop around it.

    fn turn(&self, namespace: &str) -> Option<turn::Turn> {
        self.0.borrow().turn(namespace)
    }

    fn take_unplaced(&self, namespace: &str) -> Option<Job> {
        self.0.borrow_mut().take_unplaced(namespace)
    }

    fn with_adapter(&self, namespace: &str, id: &str, change: impl FnOnce(&mut Adapter)) {
        self.0.borrow_mut().with_adapter(namespace, id, change);
    }

    fn write_resolv_conf(&self, namespace: &str) -> Result<(), Error> {
        self.0.borrow().write_resolv_conf(namespace)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    fn with_adapters(ids: &[&str]) -> Network {
        let network = Network::default();
        for id in ids {
            network.0.borrow_mut().add_adapter("n", id, settings::Network::default());
        }
        network
    }

    fn attach(network: &Network, place: Place, user: &str) {
        network.0.borrow_mut().attach("n", place, user.into()).unwrap();
    }

    fn done(job: Job) -> Configured {
        Configured { settings: job.settings, leased: None }
    }

    #[tokio::test]
    async fn whoever_comes_second_waits_for_what_the_first_is_at() {
        let network = with_adapters(&["a"]);
        let (begun, go_on) = (Notify::new(), Notify::new());
        let finished = std::cell::Cell::new(false);
        attach(&network, Place::Machine, "first");
        let first = network.sync_by("n", async |job| {
            begun.notify_one();
            go_on.notified().await;
            finished.set(true);
            Ok(done(job))
        });
        let second = async {
            begun.notified().await;
            attach(&network, Place::Machine, "second");
            let waiting = network.sync_by("n", async |_| panic!("it was configured already"));
            let (synced, ()) = tokio::join!(
                async {
                    let synced = waiting.await;
                    assert!(finished.get(), "the answer would come too early");
                    synced
                },
                async {
                    tokio::task::yield_now().await;
                    go_on.notify_one();
                }
            );
            synced
        };
        let (first, second) = tokio::join!(first, second);
        first.and(second).unwrap();
    }

    #[tokio::test]
    async fn what_has_failed_is_tried_again_by_the_next() {
        let network = with_adapters(&["a", "b"]);
        attach(&network, Place::Machine, "first");
        let refused = network
            .sync_by("n", async |job| match job.id.as_str() {
                "a" => Ok(done(job)),
                _ => Err(Error::Panicked),
            })
            .await;
        assert!(matches!(refused, Err(Error::Panicked)), "{refused:?}");
        let tried = std::cell::RefCell::new(Vec::new());
        let again = async |job: Job| {
            tried.borrow_mut().push(job.id.clone());
            Ok(done(job))
        };
        network.sync_by("n", again).await.unwrap();
        assert_eq!(tried.into_inner(), ["b"]);
    }
}
