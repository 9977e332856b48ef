//! Network adapters and the namespaces that they are for (spec sections 6.6 and 10).
//!
//! Adapters normally arrive before their pod, so a namespace is first a record; once a container's process is
//! attached to it, its adapters are moved into that process's network namespace and configured there.

mod adapter;
mod configure;
mod error;
mod netlink;
mod plan;
mod resolv_conf;

use std::cell::RefCell;
use std::collections::HashMap;

use lcow_protocol::settings;

pub(crate) use error::Error;

/// Where the adapters of a namespace belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The network namespace of that process.
    Process(u32),
    /// The utility VM's own.
    Machine,
}

/// All namespaces.
#[derive(Debug, Default)]
pub(crate) struct Network(RefCell<HashMap<String, Namespace>>);

#[derive(Debug, Default)]
struct Namespace {
    adapters: Vec<Adapter>,
    place: Option<Place>,
}

#[derive(Debug)]
struct Adapter {
    /// Lower case.
    id: String,
    /// The interface's name where the agent is.
    name: String,
    settings: settings::Network,
    /// Where it was moved to.
    placed: Option<Place>,
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
        if settings.ip_configs.is_empty() {
            return Err(Error::NoAddresses { id });
        }
        // Whatever cannot be applied is refused before anything is changed.
        plan::Plan::new(&settings, false)?;
        let name = adapter::find(&settings).await?;
        if known() {
            return Err(Error::Exists { namespace, id });
        }
        let adapter = Adapter { id: id.clone(), name, settings, placed: None };
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
        Some(resolv_conf::text(record.adapters.iter().map(|adapter| &adapter.settings)))
    }

    /// Says where the adapters of a namespace belong, and configures those that have come so far.
    pub(crate) async fn attach(&self, namespace: &str, place: Place) -> Result<(), Error> {
        let namespace = namespace.to_ascii_lowercase();
        {
            let mut namespaces = self.0.borrow_mut();
            let record = namespaces.entry(namespace.clone()).or_default();
            if record.place.is_some() {
                return Err(Error::Attached { namespace });
            }
            record.place = Some(place);
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
        for adapter in &mut record.adapters {
            adapter.placed = None;
        }
        if record.adapters.is_empty() {
            namespaces.remove(&namespace);
        }
    }

    /// Moves and configures the adapters of a namespace that are not where they belong.
    async fn sync(&self, namespace: &str) -> Result<(), Error> {
        for (name, plan, place) in self.unplaced(namespace)? {
            // Before the work, so that nobody else begins with it.
            self.set_placed(namespace, &name, Some(place));
            let job = name.clone();
            let done = configure::run(move || configure::configure(&job, &plan, place)).await;
            done.inspect_err(|_| self.set_placed(namespace, &name, None))?;
        }
        Ok(())
    }

    fn set_placed(&self, namespace: &str, name: &str, placed: Option<Place>) {
        let mut namespaces = self.0.borrow_mut();
        let adapters = namespaces.get_mut(namespace).map(|record| record.adapters.iter_mut());
        if let Some(adapter) = adapters.and_then(|mut all| all.find(|adapter| adapter.name == name)) {
            adapter.placed = placed;
        }
    }

    fn unplaced(&self, namespace: &str) -> Result<Vec<(String, plan::Plan, Place)>, Error> {
        let namespaces = self.0.borrow();
        let Some((record, place)) = namespaces.get(namespace).and_then(|r| Some((r, r.place?))) else {
            return Ok(Vec::new());
        };
        let waiting = record.adapters.iter().enumerate().filter(|(_, a)| a.placed != Some(place));
        let plan = |(index, adapter): (usize, &Adapter)| {
            Ok((adapter.name.clone(), plan::Plan::new(&adapter.settings, index > 0)?, place))
        };
        waiting.map(plan).collect()
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
        let adapter = Adapter { id: "a".into(), name: "eth0".into(), settings, placed: None };
        network.0.borrow_mut().insert("n".into(), Namespace { adapters: vec![adapter], place: None });
        network.detach("n");
        assert_eq!(network.resolv_conf("n").unwrap().unwrap(), "nameserver 10.0.0.2\n");
        network.remove("N", "A");
        network.detach("n");
        assert!(!network.knows("n"));
    }

    #[test]
    fn an_adapter_that_was_placed_is_not_touched_again() {
        let network = Network::default();
        let adapter = |id: &str, placed| Adapter {
            id: id.to_owned(),
            name: id.to_owned(),
            settings: settings::Network { policy_based_routing: true, ..Default::default() },
            placed,
        };
        let place = Place::Process(7);
        let adapters = vec![adapter("first", Some(place)), adapter("second", None)];
        network.0.borrow_mut().insert("n".into(), Namespace { adapters, place: Some(place) });
        let unplaced = network.unplaced("n").unwrap();
        assert_eq!(unplaced.len(), 1);
        assert_eq!((unplaced[0].0.as_str(), unplaced[0].2), ("second", place));
        assert!(unplaced[0].1.low_metric, "the second adapter must not take the first one's routes");
    }
}
