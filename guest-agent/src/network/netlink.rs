//! Requests to the kernel's routing socket, answered one by one (rtnetlink(7)).

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;

use super::plan::{Prefix, Route};

/// An acknowledgement holds its request, and none of ours is near this size.
const ANSWER: usize = 8192;

/// The kernel fills no larger one with parts of a list (`netlink_dump` in `net/netlink/af_netlink.c`).
const LIST: usize = 32 << 10;
/// What the kernel makes of the metric 0 of a route with IPv6 (`IP6_RT_PRIO_USER` in `linux/ipv6_route.h`).
const IPV6_METRIC: u32 = 1024;

/// A socket in the calling thread's network namespace.
pub(super) struct Netlink(Socket);

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

impl Netlink {
    /// Opens one.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        Ok(Self(socket))
    }

    /// Sends a request and waits for its acknowledgement.
    fn request(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.send(message, NLM_F_ACK | flags)?;
        let mut answer = vec![0; ANSWER];
        let length = self.0.recv(&mut answer.as_mut_slice(), 0)?;
        match parse(&answer[..length])?.payload {
            NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
            NetlinkPayload::Error(_) => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel sent no acknowledgement")),
        }
    }

    fn send(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        request.finalize();
        let mut buffer = vec![0; request.buffer_len()];
        request.serialize(&mut buffer);
        self.0.send(&buffer, 0).map(drop)
    }

    /// All routes of a family, whatever their tables.
    fn routes(&self, family: AddressFamily) -> io::Result<Vec<RouteMessage>> {
        let mut wanted = RouteMessage::default();
        wanted.header.address_family = family;
        self.send(RouteNetlinkMessage::GetRoute(wanted), NLM_F_DUMP)?;
        let mut routes = Vec::new();
        let mut part = vec![0; LIST];
        loop {
            let length = self.0.recv(&mut part.as_mut_slice(), 0)?;
            let mut rest = &part[..length];
            while !rest.is_empty() {
                let message = parse(rest)?;
                match message.payload {
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => routes.push(route),
                    NetlinkPayload::Done(_) => return Ok(routes),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
                // Each begins at a multiple of four bytes (netlink(7)).
                let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }

    fn set_link(&self, index: u32, up: Option<bool>, attribute: Option<LinkAttribute>) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        if let Some(up) = up {
            message.header.change_mask = LinkFlags::Up;
            message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        }
        message.attributes.extend(attribute);
        self.request(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Takes an interface up or down.
    pub(super) fn set_up(&self, index: u32, up: bool) -> io::Result<()> {
        self.set_link(index, Some(up), None)
    }

    /// Sets the largest packet of an interface, in bytes.
    pub(super) fn set_mtu(&self, index: u32, mtu: u32) -> io::Result<()> {
        self.set_link(index, None, Some(LinkAttribute::Mtu(mtu)))
    }

    /// Renames an interface, which must be down.
    pub(super) fn rename(&self, index: u32, name: &str) -> io::Result<()> {
        self.set_link(index, None, Some(LinkAttribute::IfName(name.to_owned())))
    }

    /// Moves an interface into the network namespace of a process.
    pub(super) fn move_to(&self, index: u32, pid: u32) -> io::Result<()> {
        self.set_link(index, None, Some(LinkAttribute::NetNsPid(pid)))
    }

    /// Gives an interface an address.
    pub(super) fn add_address(&self, index: u32, prefix: Prefix) -> io::Result<()> {
        let message = address(index, prefix);
        self.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Takes an address off an interface. With the last one of its family the kernel takes off all its routes.
    pub(super) fn remove_address(&self, index: u32, prefix: Prefix) -> io::Result<()> {
        self.request(RouteNetlinkMessage::DelAddress(address(index, prefix)), 0)
    }

    /// Adds a route through an interface; a default route has the family of its gateway.
    pub(super) fn add_route(&self, index: u32, route: &Route) -> io::Result<()> {
        let Some(address) = route.gateway.or(route.destination.map(|to| to.address)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut message = RouteMessage::default();
        message.header.address_family = family(address);
        message.header.table = route.table;
        message.header.protocol = RouteProtocol::Boot;
        // What is on the link itself can lead to gateways.
        message.header.scope = if route.gateway.is_some() { RouteScope::Universe } else { RouteScope::Link };
        message.header.kind = RouteType::Unicast;
        message.attributes.push(RouteAttribute::Oif(index));
        if let Some(to) = route.destination {
            message.header.destination_prefix_length = to.bits;
            message.attributes.push(RouteAttribute::Destination(to.address.into()));
        }
        message.attributes.extend(route.gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
        if route.metric != 0 {
            message.attributes.push(RouteAttribute::Priority(route.metric));
        }
        self.request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Whether an interface has exactly this route.
    pub(super) fn has_route(&self, index: u32, route: &Route) -> io::Result<bool> {
        let Some(address) = route.gateway.or(route.destination.map(|to| to.address)) else {
            return Ok(false);
        };
        Ok(self.routes(family(address))?.iter().any(|found| is_same(found, index, route)))
    }

    /// What comes from `source` is looked up in `table`, before the main table.
    pub(super) fn add_rule(&self, source: IpAddr, table: u8, priority: u32) -> io::Result<()> {
        let message = rule(source, table, priority);
        self.request(RouteNetlinkMessage::NewRule(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Takes back what [`Netlink::add_rule`] has added.
    pub(super) fn remove_rule(&self, source: IpAddr, table: u8, priority: u32) -> io::Result<()> {
        self.request(RouteNetlinkMessage::DelRule(rule(source, table, priority)), 0)
    }
}

fn parse(bytes: &[u8]) -> io::Result<NetlinkMessage<RouteNetlinkMessage>> {
    NetlinkMessage::deserialize(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Whether what the kernel has `found` is this route of an interface.
fn is_same(found: &RouteMessage, index: u32, route: &Route) -> bool {
    let metric = match (route.metric, found.header.address_family) {
        (0, AddressFamily::Inet6) => IPV6_METRIC,
        (metric, _) => metric,
    };
    let mut wanted = vec![RouteAttribute::Table(route.table.into()), RouteAttribute::Oif(index)];
    wanted.extend(route.destination.map(|to| RouteAttribute::Destination(to.address.into())));
    wanted.extend(route.gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
    if metric != 0 {
        wanted.push(RouteAttribute::Priority(metric));
    }
    let has = |kind: fn(&RouteAttribute) -> bool| found.attributes.iter().any(kind);
    found.header.destination_prefix_length == route.destination.map_or(0, |to| to.bits)
        && wanted.iter().all(|attribute| found.attributes.contains(attribute))
        && has(|attribute| matches!(attribute, RouteAttribute::Gateway(_))) == route.gateway.is_some()
        && has(|attribute| matches!(attribute, RouteAttribute::Priority(_))) == (metric != 0)
}

fn address(index: u32, prefix: Prefix) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(prefix.address);
    message.header.prefix_len = prefix.bits;
    message.header.index = index;
    // For IPv4 the local address is the one that counts; for IPv6 both must agree.
    message.attributes =
        vec![AddressAttribute::Local(prefix.address), AddressAttribute::Address(prefix.address)];
    message
}

fn rule(source: IpAddr, table: u8, priority: u32) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = family(source);
    message.header.src_len = Prefix::host(source).bits;
    message.header.table = table;
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![RuleAttribute::Source(source), RuleAttribute::Priority(priority)];
    message
}
