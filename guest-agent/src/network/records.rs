//! What is known of namespaces and their adapters (spec sections 6.6 and 10.4); nothing here touches an interface.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use lcow_protocol::settings;

use super::configure::Job;
use super::keeper::Keeper;
use super::turn::Turn;
use super::{Error, Place, resolv_conf};

/// All namespaces by their ids in lower case.
#[derive(Debug, Default)]
pub(super) struct Records {
    namespaces: HashMap<String, Namespace>,
    /// What adapters had for an MTU before we changed it, by their ids: an overhead is taken off that, however often.
    mtus: HashMap<String, u32>,
}

#[derive(Debug, Default)]
struct Namespace {
    adapters: Vec<Adapter>,
    place: Option<Place>,
    /// The `resolv.conf` of each container that is attached, kept up to date with what leases say. Several can be in the
    /// VM's own namespace.
    users: Vec<PathBuf>,
    turn: Turn,
}

/// One adapter.
#[derive(Debug)]
pub(super) struct Adapter {
    /// Lower case.
    id: String,
    settings: settings::Network,
    /// The settings with a lease in them.
    pub(super) leased: Option<settings::Network>,
    /// Where it was moved to.
    pub(super) placed: Option<Place>,
    /// For a lease that ends.
    pub(super) keeper: Option<Keeper>,
}

impl Records {
    /// Whether the namespace has that adapter.
    pub(super) fn has_adapter(&self, namespace: &str, id: &str) -> bool {
        self.namespaces.get(namespace).is_some_and(|record| record.adapters.iter().any(|a| a.id == id))
    }

    /// A further adapter, which the namespace must not have.
    pub(super) fn add_adapter(&mut self, namespace: &str, id: &str, settings: settings::Network) {
        let adapter = Adapter { id: id.to_owned(), settings, leased: None, placed: None, keeper: None };
        self.namespaces.entry(namespace.to_owned()).or_default().adapters.push(adapter);
    }

    /// Forgets an adapter; false if nobody knows the namespace.
    pub(super) fn drop_adapter(&mut self, namespace: &str, id: &str) -> bool {
        let record = self.namespaces.get_mut(namespace);
        record.map(|record| record.adapters.retain(|adapter| adapter.id != id)).is_some()
    }

    /// Changes an adapter if it is known.
    pub(super) fn with_adapter(&mut self, namespace: &str, id: &str, change: impl FnOnce(&mut Adapter)) {
        let adapters = self.namespaces.get_mut(namespace).map(|record| record.adapters.iter_mut());
        if let Some(adapter) = adapters.and_then(|mut all| all.find(|adapter| adapter.id == id)) {
            change(adapter);
        }
    }

    /// What the adapter `id`, which has `now` for its MTU, had before we changed that.
    pub(super) fn original_mtu(&mut self, id: &str, now: u32) -> u32 {
        *self.mtus.entry(id.to_owned()).or_insert(now)
    }

    /// The device of that id has gone.
    pub(super) fn forget_mtu(&mut self, id: &str) {
        self.mtus.remove(id);
    }

    /// Makes sure that there is a record.
    pub(super) fn ensure(&mut self, namespace: &str) {
        self.namespaces.entry(namespace.to_owned()).or_default();
    }

    /// Whether there is a record.
    pub(super) fn knows(&self, namespace: &str) -> bool {
        self.namespaces.contains_key(namespace)
    }

    /// Whose turn it is to configure adapters there.
    pub(super) fn turn(&self, namespace: &str) -> Option<Turn> {
        self.namespaces.get(namespace).map(|record| record.turn.clone())
    }

    /// A container with this `resolv.conf` comes to the namespace, whose adapters belong to `place` now.
    pub(super) fn attach(&mut self, namespace: &str, place: Place, user: PathBuf) -> Result<(), Error> {
        let record = self.namespaces.entry(namespace.to_owned()).or_default();
        let shared = place == Place::Machine;
        if record.place.is_some_and(|now| now != place || !shared) {
            return Err(Error::Attached { namespace: namespace.to_owned() });
        }
        record.place = Some(place);
        record.users.push(user);
        Ok(())
    }

    /// That container has gone. With the last one the adapters belong nowhere, but the record stays as long as there are
    /// any, for these come back to the VM.
    pub(super) fn detach(&mut self, namespace: &str, user: &Path) {
        let Some(record) = self.namespaces.get_mut(namespace) else { return };
        record.users.retain(|other| other != user);
        if !record.users.is_empty() {
            return;
        }
        if let Some(place) = record.place.take() {
            // Nothing takes a lease's address off the VM itself, so somebody has to renew it.
            let goes = |adapter: &&mut Adapter| place != Place::Machine || adapter.leased.is_none();
            record.adapters.iter_mut().filter(goes).for_each(Adapter::leave);
        }
        if record.adapters.is_empty() {
            self.namespaces.remove(namespace);
        }
    }

    /// The next adapter that is not where it belongs. From now on it counts as if it were.
    pub(super) fn take_unplaced(&mut self, namespace: &str) -> Option<Job> {
        let record = self.namespaces.get_mut(namespace)?;
        let place = record.place?;
        let mut adapters = record.adapters.iter_mut().enumerate();
        let (index, adapter) = adapters.find(|(_, adapter)| adapter.placed != Some(place))?;
        adapter.leave();
        adapter.placed = Some(place);
        Some(Job { id: adapter.id.clone(), settings: adapter.settings.clone(), further: index > 0, place })
    }

    /// The text of `/etc/resolv.conf` for a namespace, if there is a record.
    pub(super) fn resolv_conf(&self, namespace: &str) -> Option<Result<String, Error>> {
        let adapters = &self.namespaces.get(namespace)?.adapters;
        Some(resolv_conf::text(
            adapters.iter().map(|adapter| adapter.leased.as_ref().unwrap_or(&adapter.settings)),
        ))
    }

    /// Writes what leases say about names where the attached containers look for it.
    pub(super) fn write_resolv_conf(&self, namespace: &str) -> Result<(), Error> {
        let Some(record) = self.namespaces.get(namespace) else { return Ok(()) };
        if record.adapters.iter().all(|adapter| adapter.leased.is_none()) {
            return Ok(());
        }
        let text = self.resolv_conf(namespace).unwrap_or_else(|| Ok(String::new()))?;
        // A pod without names of its own has no file.
        for path in record.users.iter().filter(|path| path.exists()) {
            // Containers have it mounted, so it is written in its place.
            std::fs::write(path, &text).map_err(|source| Error::ResolvConf { path: path.clone(), source })?;
        }
        Ok(())
    }
}

impl Adapter {
    /// It is where it was no more.
    fn leave(&mut self) {
        (self.placed, self.leased, self.keeper) = (None, None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: Place = Place::Process(7);

    fn settings(dns: &str) -> settings::Network {
        settings::Network { dns_server_list: dns.to_owned(), ..Default::default() }
    }

    fn user(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("records-{name}-{}", std::process::id()))
    }

    fn with_lease(records: &mut Records) {
        records.with_adapter("n", "a", |adapter| adapter.leased = Some(settings("10.0.2.3")));
    }

    #[test]
    fn records_are_kept_for_their_adapters_alone() {
        let mut records = Records::default();
        assert!(records.resolv_conf("n").is_none());
        records.ensure("n");
        assert_eq!(records.resolv_conf("n").unwrap().unwrap(), "");
        records.detach("n", &user("none"));
        assert!(!records.knows("n"));
        records.add_adapter("n", "a", settings("10.0.0.2"));
        records.detach("n", &user("none"));
        assert_eq!(records.resolv_conf("n").unwrap().unwrap(), "nameserver 10.0.0.2\n");
        assert!(records.drop_adapter("n", "a"));
        records.detach("n", &user("none"));
        assert!(!records.knows("n") && !records.drop_adapter("n", "a"));
    }

    #[test]
    fn a_lease_is_written_where_containers_look_and_goes_with_them() {
        let path = user("lease");
        let mut records = Records::default();
        records.add_adapter("n", "a", settings(""));
        records.attach("n", POD, path.clone()).unwrap();
        records.take_unplaced("n").unwrap();
        with_lease(&mut records);
        records.write_resolv_conf("n").unwrap();
        assert!(!path.exists(), "a pod without the file gets none");
        std::fs::write(&path, "nameserver 1.1.1.1\n").unwrap();
        records.write_resolv_conf("n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "nameserver 10.0.2.3\n");
        records.detach("n", &path);
        assert_eq!(records.resolv_conf("n").unwrap().unwrap(), "");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn an_adapter_that_was_placed_is_not_touched_again() {
        let mut records = Records::default();
        records.add_adapter("n", "first", settings(""));
        records.attach("n", POD, user("pod")).unwrap();
        assert!(!records.take_unplaced("n").unwrap().further);
        records.add_adapter("n", "second", settings(""));
        let job = records.take_unplaced("n").unwrap();
        assert_eq!((job.id.as_str(), job.place), ("second", POD));
        assert!(job.further, "the second adapter must not take the first one's routes");
        assert!(records.take_unplaced("n").is_none());
    }

    #[test]
    fn the_vms_own_network_has_room_for_many_and_a_process_has_its_own() {
        let mut records = Records::default();
        records.add_adapter("n", "a", settings(""));
        let (first, second) = (user("first"), user("second"));
        records.attach("n", Place::Machine, first.clone()).unwrap();
        records.attach("n", Place::Machine, second.clone()).unwrap();
        assert!(matches!(records.attach("n", POD, user("pod")), Err(Error::Attached { .. })));
        records.take_unplaced("n").unwrap();
        records.detach("n", &first);
        assert!(records.take_unplaced("n").is_none(), "the other one has it still");
        records.detach("n", &second);
        records.attach("n", POD, first.clone()).unwrap();
        assert!(records.attach("n", POD, second).is_err());
        assert_eq!(records.take_unplaced("n").unwrap().place, POD);
    }

    #[test]
    fn in_the_vms_own_network_a_lease_stays_and_what_the_host_has_said_is_said_again() {
        let mut records = Records::default();
        records.add_adapter("n", "a", settings(""));
        records.add_adapter("n", "b", settings(""));
        let attach = |records: &mut Records, place| records.attach("n", place, user("one")).unwrap();
        attach(&mut records, Place::Machine);
        while records.take_unplaced("n").is_some() {}
        with_lease(&mut records);
        for _ in 0..2 {
            // A deletion may be tried again.
            records.detach("n", &user("one"));
            assert_eq!(records.resolv_conf("n").unwrap().unwrap(), "nameserver 10.0.2.3\n");
        }
        attach(&mut records, Place::Machine);
        assert_eq!(records.take_unplaced("n").unwrap().id, "b");
        assert!(records.take_unplaced("n").is_none());
        records.detach("n", &user("one"));
        attach(&mut records, POD);
        assert_eq!(records.take_unplaced("n").unwrap().id, "a");
        assert_eq!(records.resolv_conf("n").unwrap().unwrap(), "", "its lease was for the VM");
    }

    #[test]
    fn the_first_mtu_of_a_device_is_its_own() {
        let mut records = Records::default();
        assert_eq!(records.original_mtu("a", 1500), 1500);
        assert_eq!(records.original_mtu("a", 1450), 1500);
        records.forget_mtu("a");
        assert_eq!(records.original_mtu("a", 9000), 9000);
    }
}
