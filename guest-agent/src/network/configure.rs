//! Moves an adapter to where it belongs and configures it there (spec sections 10.2 and 10.3).

use std::fs::{self, File};
use std::io;
use std::path::Path;

use lcow_protocol::settings::Network;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns};

use super::netlink::Netlink;
use super::plan::{OTHER_TABLE, Plan, Prefix, Route};
use super::{Error, Place, dhcp};

/// Of the rules for tables of their own: before the main table's.
const RULE_PRIORITY: u32 = 5;

/// Runs `work` on a thread of its own, which may change its network namespace: no other may use it afterwards.
pub(super) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let spawned = std::thread::Builder::new().name("network".to_owned()).spawn(move || {
        // Nobody listens only if the request was given up.
        let _ = sender.send(work());
    });
    spawned.map_err(Error::step("starting a thread for", "an adapter"))?;
    receiver.await.unwrap_or(Err(Error::Panicked))
}

/// An adapter that is to be configured.
pub(super) struct Job {
    /// Its interface.
    pub(super) name: String,
    pub(super) settings: Network,
    /// Whether it is not the first of its namespace.
    pub(super) further: bool,
    /// Where it belongs.
    pub(super) place: Place,
}

impl Job {
    /// Moves the interface to its place and configures it; changes the calling thread's network namespace. Returns the
    /// settings, with the lease if there were no addresses.
    pub(super) fn run(self) -> Result<Network, Error> {
        let name = &self.name;
        let mtu = attribute(name, "mtu")
            .and_then(|text| text.parse().map_err(|_| io::ErrorKind::InvalidData.into()));
        let mtu = mtu.map_err(Error::step("reading the MTU of", name))?;
        let mac = attribute(name, "address").map_err(Error::step("reading the address of", name))?;
        if let Place::Process(pid) = self.place {
            move_to(name, pid)?;
        }
        let netlink = Netlink::open().map_err(Error::step("opening a netlink socket for", name))?;
        let link = Link { index: index(name)?, name, netlink };
        let mut plan = Plan::new(&self.settings, self.further)?;
        link.prepare(&plan, mtu)?;
        let mut settings = self.settings;
        if plan.addresses.is_empty() {
            let mac =
                dhcp::parse_mac(&mac).ok_or_else(|| Error::Invalid(format!("{name} is no Ethernet")))?;
            settings = dhcp::lease(name, mac, &settings)
                .map_err(|source| Error::Lease { interface: name.clone(), source })?;
            plan = Plan::new(&settings, self.further)?;
        }
        link.apply(&plan)?;
        Ok(settings)
    }
}

fn move_to(name: &str, pid: u32) -> Result<(), Error> {
    let path = format!("/proc/{pid}/ns/net");
    let namespace = File::open(&path).map_err(Error::step("opening", &path))?;
    let netlink = Netlink::open().map_err(Error::step("opening a netlink socket for", name))?;
    let index = index(name)?;
    netlink.set_up(index, false).map_err(Error::step("taking down", name))?;
    netlink.move_to(index, pid).map_err(Error::step("moving to its pod", name))?;
    setns(&namespace, CloneFlags::CLONE_NEWNET).map_err(|error| Error::step("entering", &path)(error.into()))
}

fn index(name: &str) -> Result<u32, Error> {
    if_nametoindex(name).map_err(|error| Error::step("finding", name)(error.into()))
}

/// sysfs shows the interfaces of the namespace in which it was mounted.
fn attribute(name: &str, attribute: &str) -> io::Result<String> {
    Ok(fs::read_to_string(Path::new("/sys/class/net").join(name).join(attribute))?.trim().to_owned())
}

/// An interface in the thread's network namespace.
struct Link<'a> {
    index: u32,
    name: &'a str,
    netlink: Netlink,
}

impl Link<'_> {
    fn prepare(&self, plan: &Plan, mtu: u32) -> Result<(), Error> {
        let Self { index, name, netlink } = self;
        if plan.encap_overhead != 0 {
            let mtu = mtu.saturating_sub(plan.encap_overhead.into());
            netlink.set_mtu(*index, mtu).map_err(Error::step("setting the MTU of", name))?;
        }
        netlink.set_up(*index, true).map_err(Error::step("taking up", name))
    }

    fn apply(&self, plan: &Plan) -> Result<(), Error> {
        let Self { index, name, netlink } = self;
        for prefix in &plan.addresses {
            let subject = format!("{}/{} to {name}", prefix.address, prefix.bits);
            netlink.add_address(*index, *prefix).map_err(Error::step("adding the address", subject))?;
            if plan.low_metric {
                netlink
                    .add_rule(prefix.address, OTHER_TABLE, RULE_PRIORITY)
                    .map_err(Error::step("adding a rule for", prefix.address))?;
            }
        }
        plan.routes.iter().try_for_each(|route| self.add_route(route))
    }

    /// A gateway that no route leads to is made known as a neighbour on the link.
    fn add_route(&self, route: &Route) -> Result<(), Error> {
        let describe = || match route.destination {
            Some(to) => format!("to {}/{} through {}", to.address, to.bits, self.name),
            None => format!("by default through {}", self.name),
        };
        let added = match (self.netlink.add_route(self.index, route), route.gateway) {
            (Err(error), Some(gateway)) if is_unreachable(&error) => {
                let neighbour = Prefix::host(gateway);
                let reach =
                    Route { destination: Some(neighbour), gateway: None, metric: 0, table: route.table };
                // The route itself says what matters.
                let _ = self.netlink.add_route(self.index, &reach);
                self.netlink.add_route(self.index, route)
            }
            (added, _) => added,
        };
        added.map_err(Error::step("adding the route", describe()))
    }
}

fn is_unreachable(error: &io::Error) -> bool {
    // IPv6 says that there is no route to the host.
    matches!(error.raw_os_error(), Some(libc::ENETUNREACH | libc::EHOSTUNREACH))
}
