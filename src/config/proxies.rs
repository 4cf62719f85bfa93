//! Which peers are proxies, and for whom they ask.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::unit::Unit;

/// Proxies that a request may have come through; more is no chain that anybody has.
const PROXIES_MAX: usize = 16;

/// The addresses whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Whether there is any.
    pub fn is_some(&self) -> bool {
        !self.0.is_empty()
    }

    pub fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client for whom a trusted proxy asks. `forwarded` is what its `X-Forwarded-For` lists, the last first: each
    /// proxy has added whom it was asked by. That is the first who is none of them, or who is at the end of the list.
    /// `Ok(None)`: nobody is listed.
    ///
    /// # Errors
    ///
    /// What is wrong with the list, as a sentence. What is left of the client, which may be of its making, is not read.
    pub fn client<'a>(
        &self,
        forwarded: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Option<IpAddr>, &'static str> {
        let mut client = None;
        for (count, item) in forwarded.enumerate() {
            if count == PROXIES_MAX {
                return Err("X-Forwarded-For names more than 16 proxies.");
            }
            let found = address(item)
                .ok_or("X-Forwarded-For, which a proxy of listen.proxies has sent, must list IP addresses.")?;
            client = Some(found);
            if !self.trust(found) {
                break;
            }
        }
        Ok(client)
    }
}

/// An address as proxies write it: alone, in brackets, or with a port.
fn address(item: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(item).ok()?;
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>();
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    address
        .or_else(|_| with_port())
        .ok()
        .map(|address| address.to_canonical())
}

/// A list of addresses and prefixes, or none.
pub(super) struct ProxyList;

impl Unit<Proxies> for ProxyList {
    fn name(&self) -> &'static str {
        "networks"
    }

    fn range(&self) -> String {
        "IP addresses and prefixes as in \"127.0.0.1, 10.1.2.0/24, 2001:db8::/48\", with commas between them, or \"\" for none"
            .to_owned()
    }

    fn parse(&self, text: &str) -> Result<Proxies, String> {
        if text.is_empty() {
            return Ok(Proxies::default());
        }
        let network = |item: &str| network(item.trim());
        text.split(',')
            .map(network)
            .collect::<Result<_, _>>()
            .map(Proxies)
    }

    fn show(&self, value: &Proxies) -> String {
        let network = |network: &IpNet| match network.prefix_len() == network.max_prefix_len() {
            true => network.addr().to_string(),
            false => network.to_string(),
        };
        let networks: Vec<_> = value.0.iter().map(network).collect();
        networks.join(", ")
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| {
            format!("{text:?} is neither an IP address nor a prefix as in 10.1.2.0/24")
        })?,
    };
    if network.addr().to_canonical() != network.addr() {
        return Err(format!(
            "{text:?} is an IPv4 address in IPv6; write it as IPv4"
        ));
    }
    Ok(network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(text: &str) -> Proxies {
        ProxyList.parse(text).expect(text)
    }

    fn client(forwarded: &str) -> Result<Option<IpAddr>, &'static str> {
        let items = forwarded.split(',').map(|item| item.trim().as_bytes());
        let items = items.filter(|item| !item.is_empty()).rev();
        proxies("127.0.0.1, ::1, 10.1.2.0/24, 2001:db8:5::/48").client(items)
    }

    #[test]
    fn the_client_is_the_last_who_is_no_proxy() {
        for (forwarded, expected) in [
            ("203.0.113.7", "203.0.113.7"),
            ("203.0.113.7:4711", "203.0.113.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("203.0.113.7, 10.1.2.9", "203.0.113.7"),
            ("203.0.113.7, 2001:db8:5::1, ::ffff:10.1.2.9", "203.0.113.7"),
            ("6.6.6.6, 203.0.113.7", "203.0.113.7"),
            ("10.1.2.3, 203.0.113.7, 10.1.2.9", "203.0.113.7"),
            // What the client has written itself is not even looked at.
            ("' or 1=1, 203.0.113.7, 10.1.2.9", "203.0.113.7"),
            // All are proxies: it is the first of them that asks.
            ("10.1.2.3, 10.1.2.9", "10.1.2.3"),
        ] {
            let expected = expected.parse().expect("an address");
            assert_eq!(client(forwarded), Ok(Some(expected)), "{forwarded}");
        }
        assert_eq!(client(""), Ok(None));
    }

    #[test]
    fn a_proxy_that_names_no_address_is_told() {
        for forwarded in [
            "unknown",
            "unix:",
            "203.0.113.7, unknown",
            "203.0.113",
            "203.0.113.7/32",
            "app.example",
            "fe80::1%eth0",
            "\u{fc}",
        ] {
            let reason = client(forwarded).expect_err(forwarded);
            assert!(reason.contains("IP addresses"), "{reason}");
        }
        let hops = |count| vec!["10.1.2.9"; count].join(",");
        assert!(client(&hops(PROXIES_MAX)).is_ok());
        let reason = client(&hops(PROXIES_MAX + 1)).expect_err("it is too long");
        assert!(reason.contains(&PROXIES_MAX.to_string()), "{reason}");
    }

    #[test]
    fn a_list_is_shown_as_it_is_read() {
        let list = "127.0.0.1, 10.1.0.0/16, ::1, 2001:db8::/32";
        let unit = ProxyList;
        assert_eq!(
            unit.show(&proxies("127.0.0.1/32,10.1.2.3/16 , ::1, 2001:db8::7/32")),
            list
        );
        assert_eq!(proxies(list), proxies(&unit.show(&proxies(list))));
        assert_eq!(unit.show(&proxies("")), "");
        assert!(!proxies("").trust(IpAddr::from([127, 0, 0, 1])));
        assert!(proxies("0.0.0.0/0").trust("::ffff:203.0.113.7".parse().expect("an address")));
    }

    #[test]
    fn what_is_no_network_is_refused_in_words() {
        for (text, words) in [
            ("proxy.example", "neither an IP address"),
            ("10.0.0.0/33", "neither an IP address"),
            ("127.0.0.1:80", "neither an IP address"),
            ("127.0.0.1,", "\"\" is neither"),
            ("*", "neither an IP address"),
            ("::ffff:10.0.0.1", "write it as IPv4"),
        ] {
            let reason = ProxyList.parse(text).expect_err(text);
            assert!(reason.contains(words), "{text}: {reason}");
        }
    }
}
