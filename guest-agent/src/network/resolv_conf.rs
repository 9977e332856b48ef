//! `/etc/resolv.conf` from the adapters of a namespace (spec section 7.5, step 5).

use std::fmt::Write;

use lcow_protocol::settings::Network;

use super::Error;

/// What resolvers take.
const MOST_SEARCHES: usize = 6;

/// The file's text.
pub(super) fn text<'a>(adapters: impl Iterator<Item = &'a Network> + Clone) -> Result<String, Error> {
    let searches = collect(adapters.clone().map(|adapter| adapter.dns_suffix.as_str()));
    let servers = collect(adapters.map(|adapter| adapter.dns_server_list.as_str()));
    if searches.len() > MOST_SEARCHES {
        return Err(Error::TooManySearches(searches.len()));
    }
    let mut text = String::new();
    if !searches.is_empty() {
        let _ = writeln!(text, "search {}", searches.join(" "));
    }
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    Ok(text)
}

/// The items of comma-separated lists, each once, in order.
fn collect<'a>(lists: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for item in lists.flat_map(|list| list.split(',')) {
        // A line of its own would be a directive of the host's making.
        let item: String = item.trim().chars().filter(|c| !c.is_control()).collect::<String>().to_lowercase();
        if !item.is_empty() && !found.contains(&item) {
            found.push(item);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(suffix: &str, servers: &str) -> Network {
        Network { dns_suffix: suffix.into(), dns_server_list: servers.into(), ..Network::default() }
    }

    #[test]
    fn lists_of_all_adapters_are_joined_without_repetition() {
        let adapters = [
            adapter("Corp.example, lab.example", "10.0.0.2,10.0.0.3"),
            adapter("corp.example", " 10.0.0.2 ,fd00::1"),
        ];
        let expected =
            "search corp.example lab.example\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver fd00::1\n";
        assert_eq!(text(adapters.iter()).unwrap(), expected);
        assert_eq!(text([adapter("", "")].iter()).unwrap(), "");
    }

    #[test]
    fn seven_searches_are_too_many() {
        assert!(text([adapter("a,b,c,d,e,f", "")].iter()).is_ok());
        assert!(text([adapter("a,b,c,d,e,f,g", "")].iter()).is_err());
    }
}
