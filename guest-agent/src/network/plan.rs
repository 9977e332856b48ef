//! What is to be done with an adapter, worked out from its settings before anything is touched (spec section 10.3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lcow_protocol::settings;

use super::Error;

/// Routing table of adapters that must not take another one's routes.
pub(super) const OTHER_TABLE: u8 = 101;
/// The kernel's main table.
const MAIN_TABLE: u8 = 254;
/// Metric of their routes if the host names none.
const LOW_METRIC: u32 = 500;

/// An address or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    pub(super) address: IpAddr,
    pub(super) bits: u8,
}

/// One route of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// `None` is the default route.
    pub(super) destination: Option<Prefix>,
    /// `None` is on the link itself.
    pub(super) gateway: Option<IpAddr>,
    /// Zero is the kernel's own.
    pub(super) metric: u32,
    pub(super) table: u8,
}

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Bytes to take off the MTU.
    pub(super) encap_overhead: u16,
    pub(super) addresses: Vec<Prefix>,
    pub(super) routes: Vec<Route>,
    /// Its routes are in a table of their own, used by what comes from its addresses.
    pub(super) low_metric: bool,
}

impl Plan {
    /// The plan for an adapter; `further` if it is not the first of its namespace.
    pub(super) fn new(settings: &settings::Network, further: bool) -> Result<Self, Error> {
        let low_metric = if settings.policy_based_routing { further } else { settings.enable_low_metric };
        let addresses =
            settings.ip_configs.iter().map(|config| address(&config.ip_address, config.prefix_length));
        let routes = settings.routes.iter().filter_map(|route| plan_route(route, low_metric).transpose());
        Ok(Self {
            encap_overhead: settings.encap_overhead,
            addresses: addresses.collect::<Result<_, _>>()?,
            routes: routes.collect::<Result<_, _>>()?,
            low_metric,
        })
    }
}

impl Prefix {
    /// That address alone.
    pub(super) fn host(address: IpAddr) -> Self {
        Self { address, bits: most_bits(address) }
    }
}

fn most_bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn address(text: &str, bits: u8) -> Result<Prefix, Error> {
    let address: IpAddr = text.parse().map_err(|_| Error::Invalid(format!("{text:?} is no IP address")))?;
    if bits > most_bits(address) {
        return Err(Error::Invalid(format!("{text}/{bits} is no network")));
    }
    Ok(Prefix { address, bits })
}

/// `None` for a default route whose gateway says that there is none.
fn plan_route(route: &settings::Route, low_metric: bool) -> Result<Option<Route>, Error> {
    let text = &route.destination_prefix;
    let (network, bits) = text
        .split_once('/')
        .and_then(|(network, bits)| Some((network, bits.parse().ok()?)))
        .ok_or_else(|| Error::Invalid(format!("{text:?} is no network")))?;
    let destination = address(network, bits)?;
    let gateway: Option<IpAddr> = route.next_hop.parse().ok();
    let is_default = bits == 0 && destination.address.is_unspecified();
    let none = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    if is_default && gateway.is_some_and(|gateway| none.contains(&gateway)) {
        return Ok(None);
    }
    if is_default && gateway.is_none() {
        return Err(Error::Invalid(format!("the default route has no gateway: {:?}", route.next_hop)));
    }
    if gateway.is_some_and(|gateway| gateway.is_ipv4() != destination.address.is_ipv4()) {
        return Err(Error::Invalid(format!("{text} cannot be reached through {}", route.next_hop)));
    }
    let metric = match route.metric {
        0 if low_metric => LOW_METRIC,
        metric => metric.into(),
    };
    let table = if low_metric { OTHER_TABLE } else { MAIN_TABLE };
    Ok(Some(Route { destination: (!is_default).then_some(destination), gateway, metric, table }))
}

#[cfg(test)]
mod tests {
    use lcow_protocol::settings::{IpConfig, Network};

    use super::*;

    fn settings(next_hop: &str, destination: &str, metric: u16) -> Network {
        Network {
            ip_configs: vec![IpConfig { ip_address: "172.20.1.5".into(), prefix_length: 20 }],
            routes: vec![settings::Route {
                next_hop: next_hop.into(),
                destination_prefix: destination.into(),
                metric,
            }],
            ..Network::default()
        }
    }

    #[test]
    fn routes_are_read_as_hosts_write_them() {
        let gateway = Some("172.20.0.1".parse().unwrap());
        let plan = Plan::new(&settings("172.20.0.1", "0.0.0.0/0", 0), false).unwrap();
        assert_eq!(plan.routes, [Route { destination: None, gateway, metric: 0, table: 254 }]);
        assert_eq!(plan.addresses, [Prefix { address: "172.20.1.5".parse().unwrap(), bits: 20 }]);
        let plan = Plan::new(&settings("", "10.1.0.0/16", 7), false).unwrap();
        let destination = Some(Prefix { address: "10.1.0.0".parse().unwrap(), bits: 16 });
        assert_eq!(plan.routes, [Route { destination, gateway: None, metric: 7, table: 254 }]);
        for none in ["0.0.0.0", "::"] {
            assert_eq!(Plan::new(&settings(none, "0.0.0.0/0", 0), false).unwrap().routes, []);
            assert_eq!(Plan::new(&settings(none, "::/0", 0), false).unwrap().routes, []);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (next_hop, destination) in [
            ("", "0.0.0.0/0"),
            ("10.0.0.1", "10.0.0.0/33"),
            ("10.0.0.1", "x"),
            ("fd00::1", "10.0.0.0/8"),
            ("10.0.0.1", "x/8"),
        ] {
            assert!(
                Plan::new(&settings(next_hop, destination, 0), false).is_err(),
                "{next_hop} {destination}"
            );
        }
        let mut bad = settings("", "10.1.0.0/16", 0);
        bad.ip_configs[0].prefix_length = 40;
        assert!(Plan::new(&bad, false).is_err());
    }

    #[test]
    fn with_policy_routing_further_adapters_have_a_table_of_their_own() {
        let mut settings = settings("172.20.0.1", "0.0.0.0/0", 0);
        settings.policy_based_routing = true;
        // Overridden by the adapter's place.
        settings.enable_low_metric = true;
        let first = Plan::new(&settings, false).unwrap();
        assert_eq!((first.low_metric, first.routes[0].table, first.routes[0].metric), (false, 254, 0));
        let second = Plan::new(&settings, true).unwrap();
        assert_eq!((second.low_metric, second.routes[0].table, second.routes[0].metric), (true, 101, 500));
    }
}
