//! A lease from a DHCP server, for adapters without addresses of the host's (spec section 10.3, step 4).
//!
//! Asked for is a lease for ever; one that is granted for less is renewed.

mod message;
mod renewal;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use lcow_protocol::settings::{IpConfig, Network, Route};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt};

use smoltcp::wire::{DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType as Kind};

use message::{Client, FOREVER};

pub(super) use message::Answer;

pub(super) use renewal::{Loss, Whom};

/// How long each message's answer is waited for before it is sent again: 15 s together, for each of the two.
const PATIENCE: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];
/// How long the answer to a request for more time is waited for; it is made again at its next time in any case.
const RENEWAL: Duration = Duration::from_secs(4);
/// More than an Ethernet frame holds.
const LARGEST: usize = 2048;

/// Why there is no lease.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The socket failed.
    #[error("asking for an address by DHCP")]
    Io(#[from] io::Error),
    /// No server has answered in time.
    #[error("no DHCP server has answered")]
    NoAnswer,
    /// A server has taken back its offer.
    #[error("the DHCP server {0:?} has refused what it had offered")]
    Refused(Option<Ipv4Addr>),
}

/// What a server has granted.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    client: Client,
    answer: Answer,
    /// When it was asked for, from when its time counts.
    asked: Instant,
}

impl Lease {
    /// Whether it ends if it is not renewed.
    pub(super) fn is_for_a_time(&self) -> bool {
        self.answer.seconds != FOREVER
    }

    /// How long it is, in seconds.
    pub(super) fn seconds(&self) -> u32 {
        self.answer.seconds
    }

    /// The host's `settings` with the lease's address, its routes before the host's, and its names where the host has
    /// none.
    pub(super) fn fill(&self, settings: &Network) -> Network {
        fill(settings, &self.answer)
    }

    /// Keeps it for as long as servers let it be kept. `ask` has [`Renewal::ask`] done.
    pub(super) async fn keep(self, mut ask: impl AsyncFnMut(Whom, Renewal) -> Option<Answer>) -> Loss {
        let Self { client, answer, asked } = self;
        let ask = async |whom, lease: &Answer| ask(whom, Renewal { client, lease: lease.clone() }).await;
        renewal::keep(answer, asked.into(), ask).await
    }
}

/// A request for more time.
#[derive(Clone, Debug)]
pub(super) struct Renewal {
    client: Client,
    lease: Answer,
}

impl Renewal {
    /// Asks once through `interface`; blocks for a few seconds at most. No answer is no error.
    pub(super) fn ask(&self, interface: &str, whom: Whom) -> io::Result<Option<Answer>> {
        let server = match (whom, self.lease.server) {
            (Whom::Server, Some(server)) => server,
            _ => Ipv4Addr::BROADCAST,
        };
        let socket = open(interface)?;
        socket.send_to(&self.client.renewal(&self.lease), (server, DHCP_SERVER_PORT))?;
        receive(&socket, self.client, &[Kind::Ack, Kind::Nak], RENEWAL)
    }
}

/// The hardware address of an interface, as sysfs writes it.
pub(super) fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.trim().split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

/// Gets a lease for `interface`, which must be up; blocks for half a minute at most.
pub(super) fn lease(interface: &str, mac: [u8; 6]) -> Result<Lease, Error> {
    let socket = open(interface)?;
    // The lower half is as good as the upper one.
    let transaction = (crate::random::number()? & u64::from(u32::MAX)).try_into().unwrap_or_default();
    let server = SocketAddr::from((Ipv4Addr::BROADCAST, DHCP_SERVER_PORT));
    let client = Client { transaction, mac };
    // A little too early, and so on the safe side.
    let asked = Instant::now();
    let answer = converse(&socket, server, client, &PATIENCE)?;
    Ok(Lease { client, answer, asked })
}

/// A socket that works without an address.
fn open(interface: &str) -> io::Result<UdpSocket> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::BindToDevice, &interface.into())?;
    setsockopt(&socket, sockopt::Broadcast, &true)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    bind(socket.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, DHCP_CLIENT_PORT))?;
    Ok(UdpSocket::from(socket))
}

fn converse(
    socket: &UdpSocket,
    server: SocketAddr,
    client: Client,
    patience: &[Duration],
) -> Result<Answer, Error> {
    let ask = |message: Vec<u8>, wanted: &[Kind]| {
        for limit in patience {
            socket.send_to(&message, server)?;
            if let Some(answer) = receive(socket, client, wanted, *limit)? {
                return Ok(answer);
            }
        }
        Err(Error::NoAnswer)
    };
    let offer = ask(client.message(Kind::Discover, None), &[Kind::Offer])?;
    let answer = ask(client.message(Kind::Request, Some(&offer)), &[Kind::Ack, Kind::Nak])?;
    if answer.kind == Kind::Nak { Err(Error::Refused(answer.server)) } else { Ok(answer) }
}

/// The next answer of one of these kinds, within `limit`; anything else that arrives is passed over.
fn receive(
    socket: &UdpSocket,
    client: Client,
    wanted: &[Kind],
    limit: Duration,
) -> io::Result<Option<Answer>> {
    let deadline = Instant::now() + limit;
    let mut buffer = [0; LARGEST];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let answer = client.read(&buffer[..length]);
                if let Some(answer) = answer.filter(|answer| wanted.contains(&answer.kind)) {
                    return Ok(Some(answer));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn fill(settings: &Network, lease: &Answer) -> Network {
    let mut filled = settings.clone();
    filled.ip_configs =
        vec![IpConfig { ip_address: lease.address.to_string(), prefix_length: lease.prefix_length }];
    let route = |(network, bits, gateway): &(Ipv4Addr, u8, Ipv4Addr)| Route {
        // The planner reads an unspecified gateway of the default route as none at all, and no text as the link itself.
        next_hop: if gateway.is_unspecified() { String::new() } else { gateway.to_string() },
        destination_prefix: format!("{network}/{bits}"),
        metric: 0,
    };
    filled.routes.splice(0..0, lease.routes.iter().map(route));
    if filled.dns_server_list.is_empty() {
        let servers: Vec<String> = lease.name_servers.iter().map(Ipv4Addr::to_string).collect();
        filled.dns_server_list = servers.join(",");
    }
    if filled.dns_suffix.is_empty() {
        filled.dns_suffix.clone_from(&lease.domain);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::message::tests::{CLIENT_OF_TESTS, answer};
    use super::*;

    const SHORT: [Duration; 2] = [Duration::from_millis(20); 2];
    /// A limit for hangs.
    const LONG: [Duration; 1] = [Duration::from_mins(1)];

    /// A conversation with a server that answers each message with the next of these datagrams.
    fn with_server(answers: Vec<Vec<Vec<u8>>>) -> (Result<Answer, Error>, Vec<Vec<u8>>) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let serving = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for datagrams in answers {
                let mut buffer = [0; LARGEST];
                let (length, from) = server.recv_from(&mut buffer).unwrap();
                asked.push(buffer[..length].to_vec());
                for datagram in datagrams {
                    server.send_to(&datagram, from).unwrap();
                }
            }
            asked
        });
        let lease = converse(&socket, address, CLIENT_OF_TESTS, &LONG);
        (lease, serving.join().unwrap())
    }

    #[test]
    fn an_offer_is_requested_and_granted_among_noise() {
        let server = [54, 4, 10, 0, 2, 2];
        let mut foreign = answer(2, &server);
        foreign[28] = 9;
        let (lease, asked) = with_server(vec![
            vec![b"noise".to_vec(), foreign, answer(5, &server), answer(2, &server)],
            vec![answer(2, &server), answer(5, &[54, 4, 10, 0, 2, 2, 51, 4, 0, 0, 0, 60])],
        ]);
        let lease = lease.unwrap();
        assert_eq!((lease.address, lease.seconds), (Ipv4Addr::new(10, 0, 2, 15), 60));
        assert_eq!(asked.iter().map(|message| message[242]).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a_refusal_and_silence_are_errors() {
        let (refused, _) = with_server(vec![vec![answer(2, &[])], vec![answer(6, &[])]]);
        assert!(matches!(refused, Err(Error::Refused(None))), "{refused:?}");
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        // It is there and says nothing.
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let lease = converse(&socket, silent.local_addr().unwrap(), CLIENT_OF_TESTS, &SHORT);
        assert!(matches!(lease, Err(Error::NoAnswer)), "{lease:?}");
    }

    #[test]
    fn the_hosts_own_words_are_kept() {
        let options =
            [&[1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 2, 2, 6, 4, 10, 0, 2, 3][..], &[15, 3, b'l', b'a', b'b']];
        let lease = CLIENT_OF_TESTS.read(&answer(5, &options.concat())).unwrap();
        let host = Network { dns_server_list: "10.9.9.9".to_owned(), ..Network::default() };
        let filled = fill(&host, &lease);
        assert_eq!((filled.dns_server_list.as_str(), filled.dns_suffix.as_str()), ("10.9.9.9", "lab"));
        assert_eq!(filled.ip_configs[0].prefix_length, 24);
        assert_eq!(filled.routes[0].destination_prefix, "0.0.0.0/0");
        assert_eq!(filled.routes[0].next_hop, "10.0.2.2");
        assert_eq!(fill(&Network::default(), &lease).dns_server_list, "10.0.2.3");
    }

    #[test]
    fn a_hardware_address_is_read_as_sysfs_writes_it() {
        assert_eq!(parse_mac("00:15:5d:01:02:03\n"), Some(CLIENT_OF_TESTS.mac));
        for bad in ["", "00:15:5d:01:02", "00:15:5d:01:02:03:04", "00:15:5d:01:02:xx"] {
            assert_eq!(parse_mac(bad), None, "{bad}");
        }
    }
}
