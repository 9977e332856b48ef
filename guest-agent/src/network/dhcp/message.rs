//! DHCP messages (RFC 2131, options of RFC 2132 and RFC 3442): what a client sends, and what it reads.

use std::net::Ipv4Addr;

/// The fixed part, up to and including the magic cookie.
const FIXED: usize = 240;
/// Some relays drop messages that are shorter than the oldest clients' (RFC 1542, 2.1).
const SHORTEST: usize = 300;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// The server is to answer to everybody, because we have no address yet.
const BROADCAST: u16 = 0x8000;

const SUBNET_MASK: u8 = 1;
const ROUTER: u8 = 3;
const NAME_SERVERS: u8 = 6;
const DOMAIN: u8 = 15;
const REQUESTED_ADDRESS: u8 = 50;
const LEASE_TIME: u8 = 51;
const MESSAGE_TYPE: u8 = 53;
const SERVER: u8 = 54;
const PARAMETERS: u8 = 55;
const CLIENT: u8 = 61;
const CLASSLESS_ROUTES: u8 = 121;
const PAD: u8 = 0;
const END: u8 = 255;

/// Seconds that stand for ever.
pub(super) const FOREVER: u32 = u32::MAX;

/// The kinds that concern a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Ack = 5,
    Nak = 6,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Discover, Self::Offer, Self::Request, Self::Ack, Self::Nak]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Who asks, and in which conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) transaction: u32,
    pub(super) mac: [u8; 6],
}

/// What a server offers or grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) kind: Kind,
    pub(super) address: Ipv4Addr,
    pub(super) server: Option<Ipv4Addr>,
    pub(super) prefix_length: u8,
    /// Destination, its bits and its gateway; an unspecified gateway is the link itself.
    pub(super) routes: Vec<(Ipv4Addr, u8, Ipv4Addr)>,
    pub(super) name_servers: Vec<Ipv4Addr>,
    pub(super) domain: String,
    pub(super) seconds: u32,
}

impl Client {
    /// A message to the server; a request names what was offered.
    pub(super) fn message(&self, kind: Kind, offer: Option<&Answer>) -> Vec<u8> {
        let mut bytes = vec![0; FIXED];
        // A request, over Ethernet, with addresses of six bytes.
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[4..8].copy_from_slice(&self.transaction.to_be_bytes());
        bytes[10..12].copy_from_slice(&BROADCAST.to_be_bytes());
        bytes[28..34].copy_from_slice(&self.mac);
        bytes[236..240].copy_from_slice(&COOKIE);
        let mut option = |code: u8, value: &[u8]| {
            bytes.extend([code, u8::try_from(value.len()).unwrap_or(u8::MAX)]);
            bytes.extend(value);
        };
        option(MESSAGE_TYPE, &[kind as u8]);
        option(CLIENT, &[&[1], &self.mac[..]].concat());
        option(LEASE_TIME, &FOREVER.to_be_bytes());
        option(PARAMETERS, &[SUBNET_MASK, CLASSLESS_ROUTES, ROUTER, NAME_SERVERS, DOMAIN, LEASE_TIME]);
        if let Some(offer) = offer {
            option(REQUESTED_ADDRESS, &offer.address.octets());
            if let Some(server) = offer.server {
                option(SERVER, &server.octets());
            }
        }
        bytes.push(END);
        bytes.resize(bytes.len().max(SHORTEST), PAD);
        bytes
    }

    /// Reads an answer; `None` if it is none, or somebody else's.
    pub(super) fn read(&self, bytes: &[u8]) -> Option<Answer> {
        let (fixed, options) = bytes.split_at_checked(FIXED)?;
        let ours = fixed[0] == 2
            && fixed[4..8] == self.transaction.to_be_bytes()
            && fixed[28..34] == self.mac
            && fixed[236..] == COOKIE;
        let option = |code| find(options, code);
        let kind = Kind::of(*option(MESSAGE_TYPE)?.first()?)?;
        let address = addresses(&fixed[16..20]).next()?;
        let mask = option(SUBNET_MASK).and_then(|bytes| addresses(bytes).next());
        let server = option(SERVER).and_then(|bytes| addresses(bytes).next());
        let seconds = option(LEASE_TIME).and_then(|bytes| Some(u32::from_be_bytes(*bytes.first_chunk()?)));
        let domain =
            option(DOMAIN).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
        ours.then(|| Answer {
            kind,
            address,
            server,
            prefix_length: mask.map_or(32, |mask| mask.to_bits().leading_ones().try_into().unwrap_or(32)),
            routes: routes(option(CLASSLESS_ROUTES), option(ROUTER)),
            name_servers: option(NAME_SERVERS).map(|bytes| addresses(bytes).collect()).unwrap_or_default(),
            domain: domain.trim_end_matches('\0').to_owned(),
            seconds: seconds.unwrap_or(FOREVER),
        })
    }
}

/// The value of an option; one that is cut off is not there.
fn find(mut options: &[u8], code: u8) -> Option<&[u8]> {
    loop {
        match *options {
            [PAD, ref rest @ ..] => options = rest,
            [END, ..] | [] | [_] => return None,
            [found, length, ref rest @ ..] => {
                let (value, rest) = rest.split_at_checked(length.into())?;
                if found == code {
                    return Some(value);
                }
                options = rest;
            }
        }
    }
}

fn addresses(bytes: &[u8]) -> impl Iterator<Item = Ipv4Addr> {
    bytes.as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets))
}

/// A server that sends classless routes means them instead of its router.
fn routes(classless: Option<&[u8]>, router: Option<&[u8]>) -> Vec<(Ipv4Addr, u8, Ipv4Addr)> {
    let Some(mut rest) = classless else {
        let router = router.and_then(|bytes| addresses(bytes).next());
        return router.map(|router| (Ipv4Addr::UNSPECIFIED, 0, router)).into_iter().collect();
    };
    let mut found = Vec::new();
    // Of a destination only the bytes that its bits reach are sent.
    while let Some((&bits, after)) = rest.split_first()
        && let Some((network, after)) = after.split_at_checked(usize::from(bits).div_ceil(8))
        && let Some((gateway, after)) = after.split_first_chunk::<4>()
        && bits <= 32
    {
        let mut octets = [0; 4];
        octets[..network.len()].copy_from_slice(network);
        found.push((Ipv4Addr::from(octets), bits, Ipv4Addr::from(*gateway)));
        rest = after;
    }
    found
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::network::dhcp) const CLIENT_OF_TESTS: Client =
        Client { transaction: 0x1234_5678, mac: [0, 0x15, 0x5d, 1, 2, 3] };

    /// A server's answer, put together from the RFC's offsets.
    pub(in crate::network::dhcp) fn answer(kind: u8, options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 236];
        bytes[..4].copy_from_slice(&[2, 1, 6, 0]);
        bytes[4..8].copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
        bytes[16..20].copy_from_slice(&[10, 0, 2, 15]);
        bytes[28..34].copy_from_slice(&[0, 0x15, 0x5d, 1, 2, 3]);
        bytes.extend([99, 130, 83, 99, 53, 1, kind]);
        bytes.extend(options);
        bytes.push(255);
        bytes
    }

    #[test]
    fn a_request_is_what_servers_read() {
        let offer = CLIENT_OF_TESTS.read(&answer(2, &[54, 4, 10, 0, 2, 2])).unwrap();
        let bytes = CLIENT_OF_TESTS.message(Kind::Request, Some(&offer));
        assert_eq!(bytes.len(), 300);
        assert_eq!(bytes[..12], [1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78, 0, 0, 0x80, 0]);
        let expected: Vec<u8> = [
            &[53, 1, 3, 61, 7, 1, 0, 0x15, 0x5d, 1, 2, 3, 51, 4, 255, 255, 255, 255][..],
            &[55, 6, 1, 121, 3, 6, 15, 51, 50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2, 255, 0],
        ]
        .concat();
        assert_eq!(bytes[240..240 + expected.len()], expected);
    }

    #[test]
    fn an_answer_is_read_with_its_options() {
        let options = [
            &[0, 1, 4, 255, 255, 240, 0, 3, 4, 10, 0, 0, 1, 6, 8, 10, 0, 0, 2, 10, 0, 0, 3][..],
            &[15, 4, b'c', b'o', b'r', b'p', 51, 4, 0, 0, 14, 16, 54, 4, 10, 0, 0, 1],
        ]
        .concat();
        let read = CLIENT_OF_TESTS.read(&answer(5, &options)).unwrap();
        assert_eq!(
            (read.kind, read.address.to_string().as_str(), read.prefix_length),
            (Kind::Ack, "10.0.2.15", 20)
        );
        assert_eq!(read.routes, [(Ipv4Addr::UNSPECIFIED, 0, Ipv4Addr::new(10, 0, 0, 1))]);
        assert_eq!(read.name_servers, [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 3)]);
        assert_eq!((read.domain.as_str(), read.seconds), ("corp", 3600));
    }

    #[test]
    fn classless_routes_come_instead_of_the_router() {
        let options = [121, 14, 16, 10, 1, 10, 0, 0, 9, 0, 10, 0, 0, 1, 0, 0, 3, 4, 10, 0, 0, 7];
        let read = CLIENT_OF_TESTS.read(&answer(5, &options[..])).unwrap();
        let [first, second] = &read.routes[..2] else { panic!("{:?}", read.routes) };
        assert_eq!(*first, (Ipv4Addr::new(10, 1, 0, 0), 16, Ipv4Addr::new(10, 0, 0, 9)));
        assert_eq!(*second, (Ipv4Addr::UNSPECIFIED, 0, Ipv4Addr::new(10, 0, 0, 1)));
    }

    #[test]
    fn what_is_cut_off_or_for_somebody_else_is_no_answer() {
        let whole = answer(2, &[1, 4, 255, 255, 255, 0]);
        for length in 0..243 {
            assert_eq!(CLIENT_OF_TESTS.read(&whole[..length]), None, "{length} bytes");
        }
        for offset in [0, 4, 28, 236, 242] {
            let mut other = whole.clone();
            other[offset] ^= 0x40;
            assert_eq!(CLIENT_OF_TESTS.read(&other), None, "byte {offset}");
        }
        let mut cut = answer(2, &[]);
        cut.pop();
        cut.extend([1, 200, 255]);
        assert_eq!(CLIENT_OF_TESTS.read(&cut).unwrap().prefix_length, 32);
    }
}
