//! Proxies from the environment, as other tools understand it.
use std::env;

use reqwest::{ClientBuilder, NoProxy, Proxy};

/// No proxy can reach these.
const LOCAL: &str = "localhost,127.0.0.0/8,::1";

/// Where requests go instead of their servers, by scheme, and for whom they do not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proxies {
    pub(super) http: Option<String>,
    pub(super) https: Option<String>,
    /// Names, addresses and networks, separated by commas.
    pub(super) none: String,
}

impl Proxies {
    pub(super) fn of_environment() -> Self {
        Self::of(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| names.iter().find_map(|name| variable(name));
        let others = first(&["NO_PROXY", "no_proxy"]).map(|names| format!(",{names}")).unwrap_or_default();
        Self {
            // In capitals it could come from a request's header (CGI).
            http: first(&["http_proxy", "ALL_PROXY", "all_proxy"]),
            https: first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
            none: format!("{LOCAL}{others}"),
        }
    }

    /// Has a client use them.
    pub(super) fn apply(self, builder: ClientBuilder) -> reqwest::Result<ClientBuilder> {
        let none = NoProxy::from_string(&self.none);
        let proxy = |builder: ClientBuilder, made: reqwest::Result<Proxy>| {
            Ok::<_, reqwest::Error>(builder.proxy(made?.no_proxy(none.clone())))
        };
        let builder = match self.http {
            Some(url) => proxy(builder, Proxy::http(url))?,
            None => builder,
        };
        match self.https {
            Some(url) => proxy(builder, Proxy::https(url)),
            None => Ok(builder),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_needs_no_proxy() {
        let of = |set: &'static [(&str, &str)]| {
            Proxies::of(move |name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(of(&[]), Proxies { http: None, https: None, none: LOCAL.to_owned() });
        let some = of(&[("ALL_PROXY", "http://a"), ("https_proxy", "http://b"), ("NO_PROXY", "x.example")]);
        assert_eq!((some.http.as_deref(), some.https.as_deref()), (Some("http://a"), Some("http://b")));
        assert_eq!(some.none, format!("{LOCAL},x.example"));
    }
}
