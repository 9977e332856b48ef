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
mod relocate;
mod resolv_conf;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use lcow_protocol::settings;

pub(crate) use error::Error;
use keeper::Keeper;

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
pub(crate) struct Network(Rc<RefCell<HashMap<String, Namespace>>>);

#[derive(Debug, Default)]
struct Namespace {
    adapters: Vec<Adapter>,
    place: Option<Place>,
    /// Kept up to date with what leases say.
    resolv_conf: Option<PathBuf>,
}

#[derive(Debug)]
struct Adapter {
    /// Lower case.
    id: String,
    settings: settings::Network,
    /// The settings with a lease in them.
    leased: Option<settings::Network>,
    /// Where it was moved to.
    placed: Option<Place>,
    /// For a lease that ends.
    keeper: Option<Keeper>,
}

impl Network {
    /// An adapter for a namespace; configured at once if a process is attached to that.
    pub(crate) async fn add(&self, settings: settings::Network) -> Result<(), Error> {
        let namespace = settings.namespace_id.to_ascii_lowercase();
        let id = settings.id.to_ascii_lowercase();
        let known =
            || self.0.borrow().get(&namespace).is_some_and(|known| known.adapters.iter().any(|a| a.id == id));
        if known() {
            return Err(Error::Exists { namespace, id });
        }
        // Whatever cannot be applied is refused before anything is changed.
        plan::Plan::new(&settings, false)?;
        adapter::find(&settings).await?;
        if known() {
            return Err(Error::Exists { namespace, id });
        }
        let adapter = Adapter { id: id.clone(), settings, leased: None, placed: None, keeper: None };
        self.0.borrow_mut().entry(namespace.clone()).or_default().adapters.push(adapter);
        let synced = self.sync(&namespace).await;
        if synced.is_err() {
            self.remove(&namespace, &id);
        }
        synced
    }

    /// Forgets an adapter; the host takes the device away.
    pub(crate) fn remove(&self, namespace: &str, id: &str) {
        let (namespace, id) = (namespace.to_ascii_lowercase(), id.to_ascii_lowercase());
        let mut namespaces = self.0.borrow_mut();
        let Some(record) = namespaces.get_mut(&namespace) else {
            tracing::warn!(namespace, "removing an adapter of a namespace that is not known");
            return;
        };
        record.adapters.retain(|adapter| adapter.id != id);
    }

    /// Makes sure that there is a record.
    pub(crate) fn ensure(&self, namespace: &str) {
        self.0.borrow_mut().entry(namespace.to_ascii_lowercase()).or_default();
    }

    /// Whether there is a record.
    pub(crate) fn knows(&self, namespace: &str) -> bool {
        self.0.borrow().contains_key(&namespace.to_ascii_lowercase())
    }

    /// The text of `/etc/resolv.conf` for a namespace, if there is a record.
    pub(crate) fn resolv_conf(&self, namespace: &str) -> Option<Result<String, Error>> {
        let namespaces = self.0.borrow();
        let record = namespaces.get(&namespace.to_ascii_lowercase())?;
        Some(record.resolv_conf())
    }

    /// Says where the adapters of a namespace belong, and configures those that have come so far. What leases say about
    /// names goes into the file `resolv_conf`.
    pub(crate) async fn attach(
        &self,
        namespace: &str,
        place: Place,
        resolv_conf: PathBuf,
    ) -> Result<(), Error> {
        let namespace = namespace.to_ascii_lowercase();
        {
            let mut namespaces = self.0.borrow_mut();
            let record = namespaces.entry(namespace.clone()).or_default();
            if record.place.is_some() {
                return Err(Error::Attached { namespace });
            }
            record.place = Some(place);
            record.resolv_conf = Some(resolv_conf);
        }
        let synced = self.sync(&namespace).await;
        if synced.is_err() {
            self.detach(&namespace);
        }
        synced
    }

    /// The process of a namespace has gone. A record with adapters stays, for these come back to the VM.
    pub(crate) fn detach(&self, namespace: &str) {
        let namespace = namespace.to_ascii_lowercase();
        let mut namespaces = self.0.borrow_mut();
        let Some(record) = namespaces.get_mut(&namespace) else { return };
        record.place = None;
        record.resolv_conf = None;
        for adapter in &mut record.adapters {
            (adapter.placed, adapter.leased, adapter.keeper) = (None, None, None);
        }
        if record.adapters.is_empty() {
            namespaces.remove(&namespace);
        }
    }

    /// Moves and configures the adapters of a namespace that are not where they belong.
    async fn sync(&self, namespace: &str) -> Result<(), Error> {
        let mut leased = false;
        while let Some(job) = self.take_unplaced(namespace) {
            let (id, place) = (job.id.clone(), job.place);
            let done = Self::configure(job).await;
            let done = done.inspect_err(|_| {
                // Unless its pod has gone meanwhile and another has it.
                let give_up =
                    |adapter: &mut Adapter| adapter.placed = adapter.placed.filter(|now| *now != place);
                self.with_adapter(namespace, &id, give_up);
            })?;
            if let Some(lease) = done.leased {
                leased = true;
                let keeper = Keeper::of(self, namespace, lease);
                self.with_adapter(namespace, &id, |adapter| {
                    // Its pod may have gone while a server was waited for; then nobody has the address.
                    if adapter.placed == Some(place) {
                        (adapter.leased, adapter.keeper) = (Some(done.settings), keeper);
                    }
                });
            }
        }
        if leased { self.write_resolv_conf(namespace) } else { Ok(()) }
    }

    /// Its interface is looked up now: one that came back from a pod may have another name.
    async fn configure(job: configure::Job) -> Result<configure::Configured, Error> {
        let name = adapter::find(&job.settings).await?;
        configure::run(move || job.run(&name)).await
    }

    fn with_adapter(&self, namespace: &str, id: &str, change: impl FnOnce(&mut Adapter)) {
        let mut namespaces = self.0.borrow_mut();
        let adapters = namespaces.get_mut(namespace).map(|record| record.adapters.iter_mut());
        if let Some(adapter) = adapters.and_then(|mut all| all.find(|adapter| adapter.id == id)) {
            change(adapter);
        }
    }

    /// The next adapter that is not where it belongs. It counts as if it were, so that nobody else begins with it.
    fn take_unplaced(&self, namespace: &str) -> Option<configure::Job> {
        let mut namespaces = self.0.borrow_mut();
        let record = namespaces.get_mut(namespace)?;
        let place = record.place?;
        let mut adapters = record.adapters.iter_mut().enumerate();
        let (index, adapter) = adapters.find(|(_, adapter)| adapter.placed != Some(place))?;
        adapter.placed = Some(place);
        Some(configure::Job {
            id: adapter.id.clone(),
            settings: adapter.settings.clone(),
            further: index > 0,
            place,
        })
    }

    /// Containers have the file mounted, so it is written in its place.
    fn write_resolv_conf(&self, namespace: &str) -> Result<(), Error> {
        let namespaces = self.0.borrow();
        let Some((record, path)) = namespaces.get(namespace).and_then(|r| Some((r, r.resolv_conf.as_ref()?)))
        else {
            return Ok(());
        };
        // A pod without names of its own has none.
        if !path.exists() {
            return Ok(());
        }
        let text = record.resolv_conf()?;
        std::fs::write(path, text).map_err(|source| Error::ResolvConf { path: path.clone(), source })
    }
}

impl Namespace {
    fn resolv_conf(&self) -> Result<String, Error> {
        resolv_conf::text(
            self.adapters.iter().map(|adapter| adapter.leased.as_ref().unwrap_or(&adapter.settings)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_kept_for_their_adapters_alone() {
        let network = Network::default();
        assert!(network.resolv_conf("n").is_none());
        network.ensure("N");
        assert!(network.knows("n"));
        assert_eq!(network.resolv_conf("n").unwrap().unwrap(), "");
        network.detach("n");
        assert!(!network.knows("n"));
        let settings = settings::Network { dns_server_list: "10.0.0.2".to_owned(), ..Default::default() };
        let adapter = Adapter { id: "a".into(), settings, leased: None, placed: None, keeper: None };
        network
            .0
            .borrow_mut()
            .insert("n".into(), Namespace { adapters: vec![adapter], ..Namespace::default() });
        network.detach("n");
        assert_eq!(network.resolv_conf("n").unwrap().unwrap(), "nameserver 10.0.0.2\n");
        network.remove("N", "A");
        network.detach("n");
        assert!(!network.knows("n"));
    }

    #[test]
    fn a_lease_is_written_where_containers_look_and_goes_with_them() {
        let path = std::env::temp_dir().join(format!("lease-{}", std::process::id()));
        let network = Network::default();
        let leased = settings::Network { dns_server_list: "10.0.2.3".to_owned(), ..Default::default() };
        let settings = settings::Network::default();
        let adapter = Adapter { id: "a".into(), settings, leased: Some(leased), placed: None, keeper: None };
        let record = Namespace { adapters: vec![adapter], place: None, resolv_conf: Some(path.clone()) };
        network.0.borrow_mut().insert("n".into(), record);
        network.write_resolv_conf("n").unwrap();
        assert!(!path.exists(), "a pod without the file gets none");
        std::fs::write(&path, "nameserver 1.1.1.1\n").unwrap();
        network.write_resolv_conf("n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "nameserver 10.0.2.3\n");
        network.detach("n");
        assert_eq!(network.resolv_conf("n").unwrap().unwrap(), "");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn an_adapter_that_was_placed_is_not_touched_again() {
        let network = Network::default();
        let adapter = |id: &str, placed| Adapter {
            id: id.to_owned(),
            settings: settings::Network::default(),
            leased: None,
            placed,
            keeper: None,
        };
        let place = Place::Process(7);
        let adapters = vec![adapter("first", Some(place)), adapter("second", None)];
        network
            .0
            .borrow_mut()
            .insert("n".into(), Namespace { adapters, place: Some(place), resolv_conf: None });
        let job = network.take_unplaced("n").unwrap();
        assert_eq!((job.id.as_str(), job.place), ("second", place));
        assert!(job.further, "the second adapter must not take the first one's routes");
        assert!(network.take_unplaced("n").is_none(), "somebody is at it");
    }
}
