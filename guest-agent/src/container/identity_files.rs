//! `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf` of a container (spec section 7.5 and 7.7).

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Error, blocking, rewrite};

/// The host name of a specification, or the VM's own.
pub(super) fn hostname(spec: &Value) -> Result<String, Error> {
    let name = spec["hostname"].as_str().unwrap_or_default();
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.len() > 255 || !name.bytes().all(valid) {
        return Err(Error::Invalid(format!("hostname {name:?} is not valid")));
    }
    if !name.is_empty() {
        return Ok(name.to_owned());
    }
    let own = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    Ok(own.unwrap_or_else(|_| "localhost".to_owned()))
}

/// The text of `/etc/hosts` for a container of that name.
pub(super) fn hosts(hostname: &str) -> String {
    let names = match hostname.split_once('.') {
        Some((short, _)) => format!("{hostname} {short}"),
        None => hostname.to_owned(),
    };
    format!(
        "127.0.0.1 localhost\n127.0.0.1 {names}\n\n::1     ip6-localhost ip6-loopback\nfe00::0 ip6-localnet\n\
         ff00::0 ip6-mcastprefix\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"
    )
}

/// Writes the files into `directory`; without a text there is no `resolv.conf`.
pub(super) async fn write(spec: &Value, directory: &Path, resolv_conf: Option<String>) -> Result<(), Error> {
    let hostname = hostname(spec)?;
    let files = [
        ("hostname", Some(format!("{hostname}\n"))),
        ("hosts", Some(hosts(&hostname))),
        ("resolv.conf", resolv_conf),
    ];
    let paths = files.map(|(name, content)| (directory.join(name), content));
    blocking(move || {
        paths.into_iter().try_for_each(|(path, content)| {
            content.map_or(Ok(()), |content| fs::write(&path, content)).map_err(Error::io("writing", &path))
        })
    })
    .await
}

/// Appends a bind mount for each of the files in `directory`, unless the specification mounts something there.
pub(super) fn bind(spec: &mut Value, directory: &Path) -> Result<(), Error> {
    let read_only = spec["root"]["readonly"].as_bool().unwrap_or(false);
    let options = if read_only { json!(["bind", "ro"]) } else { json!(["bind"]) };
    for name in ["hostname", "hosts", "resolv.conf"] {
        let (source, destination) = (directory.join(name), format!("/etc/{name}"));
        let mounted = spec["mounts"]
            .as_array()
            .is_some_and(|mounts| mounts.iter().any(|mount| mount["destination"] == destination.as_str()));
        if !mounted && source.exists() {
            let mount =
                json!({"destination": destination, "type": "bind", "source": source, "options": options});
            rewrite::add_mount(spec, mount)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_names_the_container_long_and_short() {
        let expected = "127.0.0.1 localhost\n127.0.0.1 web-1.default web-1\n\n::1     ip6-localhost ip6-loopback\n\
            fe00::0 ip6-localnet\nff00::0 ip6-mcastprefix\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n";
        assert_eq!(hosts("web-1.default"), expected);
        assert!(hosts("web").contains("127.0.0.1 web\n"));
    }

    #[test]
    fn host_names_are_checked() {
        for bad in ["a b", "a/b", "ä", &"x".repeat(256)] {
            assert!(hostname(&json!({"hostname": bad})).is_err(), "{bad}");
        }
        assert_eq!(hostname(&json!({"hostname": "Web-1.x_y"})).unwrap(), "Web-1.x_y");
        assert!(!hostname(&json!({})).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_the_host_mounts_itself_is_left_alone() {
        let directory = std::env::temp_dir().join(format!("identity-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut spec = json!({"hostname": "web", "root": {"readonly": true},
            "mounts": [{"destination": "/etc/hosts", "source": "/x"}]});
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(write(&spec, &directory, Some("nameserver 10.0.0.2\n".to_owned()))).unwrap();
        bind(&mut spec, &directory).unwrap();
        let destinations: Vec<_> =
            spec["mounts"].as_array().unwrap().iter().map(|m| m["destination"].clone()).collect();
        assert_eq!(destinations, ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"]);
        assert_eq!(spec["mounts"][1]["options"], json!(["bind", "ro"]));
        assert_eq!(fs::read_to_string(directory.join("hostname")).unwrap(), "web\n");
        assert_eq!(fs::read_to_string(directory.join("resolv.conf")).unwrap(), "nameserver 10.0.0.2\n");
        fs::remove_dir_all(directory).unwrap();
    }
}
