//! What a DHCP client sends and reads (RFC 2131, options of RFC 2132 and RFC 3442); the bytes are smoltcp's business.

use std::net::Ipv4Addr;

use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress};

/// Some relays drop messages that are shorter than the oldest clients' (RFC 1542, 2.1).
const SHORTEST: usize = 300;

const SUBNET_MASK: u8 = 1;
const ROUTER: u8 = 3;
const NAME_SERVERS: u8 = 6;
const DOMAIN: u8 = 15;
const LEASE_TIME: u8 = 51;
const RENEWAL_TIME: u8 = 58;
const REBINDING_TIME: u8 = 59;
const CLASSLESS_ROUTES: u8 = 121;
/// What the server is asked to say.
const PARAMETERS: [u8; 8] =
    [SUBNET_MASK, CLASSLESS_ROUTES, ROUTER, NAME_SERVERS, DOMAIN, LEASE_TIME, RENEWAL_TIME, REBINDING_TIME];

/// Seconds that stand for ever.
pub(super) const FOREVER: u32 = u32::MAX;

/// Who asks, and in which conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) transaction: u32,
    pub(super) mac: [u8; 6],
}

/// What a server offers or grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::network) struct Answer {
    pub(super) kind: DhcpMessageType,
    pub(super) address: Ipv4Addr,
    pub(super) server: Option<Ipv4Addr>,
    pub(super) prefix_length: u8,
    /// Destination, its bits and its gateway; an unspecified gateway is the link itself.
    pub(super) routes: Vec<(Ipv4Addr, u8, Ipv4Addr)>,
    pub(super) name_servers: Vec<Ipv4Addr>,
    pub(super) domain: String,
    pub(super) seconds: u32,
    /// When the server that has granted it is to be asked again, and when any server is, in seconds of the lease.
    pub(super) renew: Option<u32>,
    pub(super) rebind: Option<u32>,
}

impl Client {
    /// A message to the server; a request names what was offered.
    pub(super) fn message(&self, kind: DhcpMessageType, offer: Option<&Answer>) -> Vec<u8> {
        let (requested_ip, server_identifier) =
            (offer.map(|offer| offer.address), offer.and_then(|offer| offer.server));
        Self::emit(&DhcpRepr { requested_ip, server_identifier, ..self.plain(kind) })
    }

    /// A request for more time. The address is in use, so the answer can be sent to it (RFC 2131, 4.3.6).
    pub(super) fn renewal(&self, lease: &Answer) -> Vec<u8> {
        let plain = self.plain(DhcpMessageType::Request);
        Self::emit(&DhcpRepr { client_ip: lease.address, broadcast: false, ..plain })
    }

    fn plain(&self, kind: DhcpMessageType) -> DhcpRepr<'static> {
        let mac = EthernetAddress(self.mac);
        let none = Ipv4Addr::UNSPECIFIED;
        DhcpRepr {
            message_type: kind,
            transaction_id: self.transaction,
            secs: 0,
            client_hardware_address: mac,
            client_ip: none,
            your_ip: none,
            server_ip: none,
            relay_agent_ip: none,
            router: None,
            subnet_mask: None,
            // To everybody, because we have no address yet.
            broadcast: true,
            requested_ip: None,
            client_identifier: Some(mac),
            server_identifier: None,
            parameter_request_list: Some(&PARAMETERS),
            dns_servers: None,
            max_size: None,
            lease_duration: Some(FOREVER),
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        }
    }

    fn emit(message: &DhcpRepr<'_>) -> Vec<u8> {
        let mut bytes = vec![0; message.buffer_len().max(SHORTEST)];
        // Fails only in a buffer that is too short.
        let _ = message.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..]));
        bytes
    }

    /// Reads an answer; `None` if it is none, or somebody else's.
    pub(super) fn read(&self, bytes: &[u8]) -> Option<Answer> {
        let packet = DhcpPacket::new_checked(bytes).ok()?;
        let fixed = DhcpRepr::parse(&packet).ok()?;
        let ours = fixed.transaction_id == self.transaction && fixed.client_hardware_address.0 == self.mac;
        let option = |code| packet.options().find(|option| option.kind == code).map(|option| option.data);
        let answers = matches!(
            fixed.message_type,
            DhcpMessageType::Offer | DhcpMessageType::Ack | DhcpMessageType::Nak
        );
        let domain =
            option(DOMAIN).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
        (ours && answers).then(|| Answer {
            kind: fixed.message_type,
            address: fixed.your_ip,
            server: fixed.server_identifier,
            prefix_length: fixed
                .subnet_mask
                .map_or(32, |mask| mask.to_bits().leading_ones().try_into().unwrap_or(32)),
            routes: routes(option(CLASSLESS_ROUTES), option(ROUTER)),
            name_servers: option(NAME_SERVERS).map(|bytes| addresses(bytes).collect()).unwrap_or_default(),
            domain: domain.trim_end_matches('\0').to_owned(),
            seconds: fixed.lease_duration.unwrap_or(FOREVER),
            renew: fixed.renew_duration,
            rebind: fixed.rebind_duration,
        })
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
        let bytes = CLIENT_OF_TESTS.message(DhcpMessageType::Request, Some(&offer));
        assert_eq!(bytes.len(), 300);
        assert_eq!(bytes[..12], [1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78, 0, 0, 0x80, 0]);
        let expected: Vec<u8> = [
            &[53, 1, 3, 61, 7, 1, 0, 0x15, 0x5d, 1, 2, 3, 54, 4, 10, 0, 2, 2, 50, 4, 10, 0, 2, 15][..],
            &[51, 4, 255, 255, 255, 255, 55, 8, 1, 121, 3, 6, 15, 51, 58, 59, 255],
        ]
        .concat();
        assert_eq!(bytes[240..240 + expected.len()], expected);
    }

    #[test]
    fn a_renewal_says_which_address_is_in_use_and_asks_nobody_by_name() {
        let lease = CLIENT_OF_TESTS.read(&answer(5, &[54, 4, 10, 0, 2, 2])).unwrap();
        let bytes = CLIENT_OF_TESTS.renewal(&lease);
        assert_eq!(bytes[..16], [1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0, 10, 0, 2, 15]);
        let codes = [&bytes[240..243], &bytes[243..252], &bytes[252..258]];
        let expected: [&[u8]; 3] =
            [&[53, 1, 3], &[61, 7, 1, 0, 0x15, 0x5d, 1, 2, 3], &[51, 4, 255, 255, 255, 255]];
        assert_eq!(codes, expected);
    }

    #[test]
    fn an_answer_is_read_with_its_options() {
        let options = [
            &[0, 1, 4, 255, 255, 240, 0, 3, 4, 10, 0, 0, 1, 6, 8, 10, 0, 0, 2, 10, 0, 0, 3][..],
            &[15, 4, b'c', b'o', b'r', b'p', 51, 4, 0, 0, 14, 16, 58, 4, 0, 0, 0, 9, 54, 4, 10, 0, 0, 1],
        ]
        .concat();
        let read = CLIENT_OF_TESTS.read(&answer(5, &options)).unwrap();
        assert_eq!(
            (read.kind, read.address.to_string().as_str(), read.prefix_length),
            (DhcpMessageType::Ack, "10.0.2.15", 20)
        );
        assert_eq!(read.routes, [(Ipv4Addr::UNSPECIFIED, 0, Ipv4Addr::new(10, 0, 0, 1))]);
        assert_eq!(read.name_servers, [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 3)]);
        assert_eq!((read.domain.as_str(), read.seconds), ("corp", 3600));
        assert_eq!((read.renew, read.rebind), (Some(9), None));
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
