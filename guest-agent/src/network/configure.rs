//! Moves an adapter to where it belongs and configures it there (spec sections 10.2 and 10.3).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use lcow_protocol::settings::Network;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns};

use super::dhcp::{Answer, Lease, Renewal, Whom};
use super::netlink::Netlink;
use super::plan::{OTHER_TABLE, Plan, Prefix, Route};
use super::{Error, Place, dhcp, relocate};

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
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// Whose.
    pub(super) id: String,
    pub(super) settings: Network,
    /// Whether it is not the first of its namespace.
    pub(super) further: bool,
    /// Where it belongs.
    pub(super) place: Place,
}

/// An adapter that has what its settings say.
pub(super) struct Configured {
    /// With what a lease has filled in.
    pub(super) settings: Network,
    /// If there were no addresses.
    pub(super) leased: Option<Leased>,
}

/// An adapter whose address is a lease.
#[derive(Clone, Debug)]
pub(super) struct Leased {
    job: Job,
    /// What the interface is called there.
    interface: String,
    spot: Spot,
    mac: [u8; 6],
    pub(super) lease: Lease,
}

/// The network namespace of a process, which is not another one's of the same pid.
#[derive(Clone, Copy, Debug)]
struct Spot {
    place: Place,
    inode: u64,
}

impl Spot {
    fn of(place: Place) -> io::Result<Self> {
        Ok(Self { place, inode: fs::metadata(place.namespace())?.ino() })
    }

    fn exists(&self) -> bool {
        fs::metadata(self.place.namespace()).is_ok_and(|now| now.ino() == self.inode)
    }

    /// Makes it the calling thread's.
    fn enter(&self) -> Result<(), Error> {
        let path = self.place.namespace();
        let file = File::open(&path).map_err(Error::step("opening", &path))?;
        if !file.metadata().is_ok_and(|now| now.ino() == self.inode) {
            return Err(Error::step("entering", &path)(io::ErrorKind::NotFound.into()));
        }
        setns(&file, CloneFlags::CLONE_NEWNET).map_err(|error| Error::step("entering", &path)(error.into()))
    }
}

impl Job {
    /// Moves the interface `name`, which came with this `mtu`, to its place and configures it. What it has already is fine.
    /// Changes the calling thread's network namespace.
    pub(super) fn run(self, name: &str, mtu: u32) -> Result<Configured, Error> {
        let mac = attribute(name, "address").map_err(Error::step("reading the address of", name))?;
        let name = match self.place {
            Place::Process(pid) => &relocate::to(pid, name)?,
            Place::Machine => name,
        };
        let link = Link::open(name)?;
        let plan = Plan::new(&self.settings, self.further)?;
        link.prepare(&plan, mtu)?;
        if !plan.addresses.is_empty() {
            link.apply(&plan)?;
            return Ok(Configured { settings: self.settings, leased: None });
        }
        let mac = dhcp::parse_mac(&mac).ok_or_else(|| Error::Invalid(format!("{name} is no Ethernet")))?;
        let spot = Spot::of(self.place).map_err(Error::step("finding the namespace of", name))?;
        self.lease(&link, spot, mac)
    }

    fn lease(&self, link: &Link<'_>, spot: Spot, mac: [u8; 6]) -> Result<Configured, Error> {
        let interface = link.name.to_owned();
        let lease = dhcp::lease(&interface, mac)
            .map_err(|source| Error::Lease { interface: interface.clone(), source })?;
        let settings = lease.fill(&self.settings);
        let plan = Plan::new(&settings, self.further)?;
        // Nobody renews what is there by half, and the next attempt could not add it again; the first error is the one to report.
        link.apply(&plan).inspect_err(|_| drop(link.withdraw(&plan)))?;
        Ok(Configured { settings, leased: Some(Leased { job: self.clone(), interface, spot, mac, lease }) })
    }
}

impl Leased {
    /// The interface's name.
    pub(super) fn interface(&self) -> &str {
        &self.interface
    }

    /// The adapter's id.
    pub(super) fn id(&self) -> &str {
        &self.job.id
    }

    /// Whether the adapter's place is still there.
    pub(super) fn has_place(&self) -> bool {
        self.spot.exists()
    }

    /// Asks for more time; changes the calling thread's network namespace.
    pub(super) fn renew(&self, renewal: &Renewal, whom: Whom) -> Result<Option<Answer>, Error> {
        self.spot.enter()?;
        renewal.ask(&self.interface, whom).map_err(Error::step("renewing the lease of", &self.interface))
    }

    /// Takes off what the lease has brought; changes the calling thread's network namespace.
    pub(super) fn withdraw(&self) -> Result<(), Error> {
        self.spot.enter()?;
        let plan = Plan::new(&self.lease.fill(&self.job.settings), self.job.further)?;
        Link::open(&self.interface)?.withdraw(&plan)
    }

    /// Asks for another lease; changes the calling thread's network namespace.
    pub(super) fn again(&self) -> Result<Configured, Error> {
        self.spot.enter()?;
        self.job.lease(&Link::open(&self.interface)?, self.spot, self.mac)
    }
}

pub(super) fn index(name: &str) -> Result<u32, Error> {
    if_nametoindex(name).map_err(|error| Error::step("finding", name)(error.into()))
}

/// The MTU of an interface of the VM's own namespace.
pub(super) fn mtu(name: &str) -> Result<u32, Error> {
    let mtu =
        attribute(name, "mtu").and_then(|text| text.parse().map_err(|_| io::ErrorKind::InvalidData.into()));
    mtu.map_err(Error::step("reading the MTU of", name))
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

impl<'a> Link<'a> {
    fn open(name: &'a str) -> Result<Self, Error> {
        let netlink = Netlink::open().map_err(Error::step("opening a netlink socket for", name))?;
        Ok(Self { index: index(name)?, name, netlink })
    }

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
            unless_there(netlink.add_address(*index, *prefix))
                .map_err(Error::step("adding the address", subject))?;
            if plan.low_metric {
                unless_there(netlink.add_rule(prefix.address, OTHER_TABLE, RULE_PRIORITY))
                    .map_err(Error::step("adding a rule for", prefix.address))?;
            }
        }
        plan.routes.iter().try_for_each(|route| self.add_route(route))
    }

    fn withdraw(&self, plan: &Plan) -> Result<(), Error> {
        let Self { index, name, netlink } = self;
        for prefix in &plan.addresses {
            let subject = format!("{}/{} of {name}", prefix.address, prefix.bits);
            netlink.remove_address(*index, *prefix).map_err(Error::step("removing the address", subject))?;
            if plan.low_metric {
                netlink
                    .remove_rule(prefix.address, OTHER_TABLE, RULE_PRIORITY)
                    .map_err(Error::step("removing the rule for", prefix.address))?;
            }
        }
        Ok(())
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
        let added = added.or_else(|error| match error.kind() {
            // The kernel says so of another adapter's route, too.
            io::ErrorKind::AlreadyExists if self.netlink.has_route(self.index, route)? => Ok(()),
            _ => Err(error),
        });
        added.map_err(Error::step("adding the route", describe()))
    }
}

/// Addresses and rules that are there already are as they should be: the kernel compares an address on its interface, and
/// all of a rule.
fn unless_there(added: io::Result<()>) -> io::Result<()> {
    added.or_else(|error| if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
}

fn is_unreachable(error: &io::Error) -> bool {
    // IPv6 says that there is no route to the host.
    matches!(error.raw_os_error(), Some(libc::ENETUNREACH | libc::EHOSTUNREACH))
}
