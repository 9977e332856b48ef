//! Mount destinations, with the links on their way resolved inside the container's root (spec sections 7.6 and 7.7).
//!
//! libcontainer follows links whose targets exist, but does not make the target of one that leads nowhere yet, which
//! images have: `/etc/resolv.conf` is such a link where a service would write the file. So the mount gets the target's
//! path for its destination. What depends on where a mount really goes is done here, too.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use serde_json::Value;

use super::{destination, is_bind, memory, proc_mounts};
use crate::container::{Error, guest_path};

/// Links that are followed for one destination.
const MOST_LINKS: u32 = 255;
/// For these libcontainer itself demands a directory that no link leads to.
const AS_WRITTEN: [&str; 2] = ["proc", "sysfs"];

/// Rewrites the destinations of `mounts` that links of the container's `root` or of an earlier mount lead away from.
pub(in crate::container) fn destinations(mounts: &mut [Value], root: &Path) -> Result<(), Error> {
    let mut view = View { root, mounted: Vec::new() };
    for mount in mounts {
        let Some(destination) = clean(mount) else { continue };
        let resolved =
            view.resolve(&destination).map_err(Error::io("resolving the mount destination", &destination))?;
        if resolved.through_links && !AS_WRITTEN.iter().any(|kind| mount["type"] == *kind) {
            let path = resolved.path.to_str().ok_or_else(|| {
                Error::Invalid(format!("mount destination {} is not UTF-8", resolved.path.display()))
            })?;
            mount["destination"] = path.into();
        }
        proc_mounts::check(mount, &resolved.path)?;
        if memory::is(mount) {
            let mode = view.mode(&resolved.path).map_err(Error::io("looking at", &resolved.path))?;
            memory::adapt(mount, mode)?;
        }
        view.mounted.push(Mounted { destination: resolved.path, source: bind_source(mount) });
    }
    Ok(())
}

/// Where a mount is to go, by its name; dots that lead upwards, of which libcontainer makes nothing, are worked out.
fn clean(mount: &mut Value) -> Option<PathBuf> {
    let destination = PathBuf::from(mount["destination"].as_str()?);
    if !destination.components().any(|part| part == Component::ParentDir) {
        return Some(destination);
    }
    let mut cleaned = PathBuf::from("/");
    for part in parts(&destination) {
        if part == ".." {
            cleaned.pop();
        } else {
            cleaned.push(part);
        }
    }
    mount["destination"] = cleaned.to_str()?.into();
    Some(cleaned)
}

/// What a bind mount shows; a new file system has no links in it.
fn bind_source(mount: &Value) -> Option<PathBuf> {
    is_bind(mount).then(|| PathBuf::from(mount["source"].as_str().unwrap_or_default()))
}

/// The container's files as they are when the next mount is made.
pub(super) struct View<'a> {
    root: &'a Path,
    mounted: Vec<Mounted>,
}

/// Where the files of a path of the container's are before it runs.
pub(super) enum Place {
    /// Below this directory of the VM, which a bind mount shows.
    Bound(PathBuf, PathBuf),
    /// Below the top of a file system that is mounted only for the container.
    Fresh(PathBuf),
    /// In the container's root.
    Root(PathBuf),
}

struct Mounted {
    /// Absolute and without links.
    destination: PathBuf,
    /// Where its files are in the VM, if it is a bind mount.
    source: Option<PathBuf>,
}

struct Resolved {
    path: PathBuf,
    through_links: bool,
}

impl<'a> View<'a> {
    /// After all of `mounts`, whose destinations are without links.
    pub(super) fn after(mounts: &Value, root: &'a Path) -> Self {
        let mounts = mounts.as_array().map(Vec::as_slice).unwrap_or_default();
        let mounted = mounts.iter().map(|mount| Mounted {
            destination: destination(mount),
            source: if mount["type"] == "devtmpfs" { Some("/dev".into()) } else { bind_source(mount) },
        });
        Self { root, mounted: mounted.collect() }
    }

    /// The path without links that `path` is, for a process of the container's.
    pub(super) fn real(&self, path: &Path) -> io::Result<PathBuf> {
        self.resolve(path).map(|resolved| resolved.path)
    }

    /// As the container would, but parts that do not exist are kept.
    fn resolve(&self, destination: &Path) -> io::Result<Resolved> {
        let mut path = PathBuf::from("/");
        let mut links = 0;
        let mut ahead: VecDeque<OsString> = parts(destination);
        while let Some(part) = ahead.pop_front() {
            if part == ".." {
                path.pop();
                continue;
            }
            path.push(part);
            let Some(target) = self.link(&path)? else { continue };
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::ELOOP.into());
            }
            path.pop();
            if target.is_absolute() {
                path = PathBuf::from("/");
            }
            let rest = std::mem::replace(&mut ahead, parts(&target));
            ahead.extend(rest);
        }
        Ok(Resolved { path, through_links: links > 0 })
    }

    /// The target of the link at `path`, whose parents are no links. What was mounted last there is seen.
    fn link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        match self.place(path) {
            Place::Bound(source, rest) => guest_path::link_in(&source, &rest),
            Place::Fresh(_) => Ok(None),
            Place::Root(rest) => guest_path::link_in(self.root, &rest),
        }
    }

    /// The permissions of the directory at `path`, as [`Self::link`]; `None` if there is none yet.
    fn mode(&self, path: &Path) -> io::Result<Option<u32>> {
        match self.place(path) {
            Place::Bound(source, rest) => guest_path::mode_in(&source, &rest),
            Place::Fresh(_) => Ok(None),
            Place::Root(rest) => guest_path::mode_in(self.root, &rest),
        }
    }

    /// Where `path`, whose parents are no links, is by what was mounted last there.
    pub(super) fn place(&self, path: &Path) -> Place {
        let below = |mounted: &Mounted| {
            let rest = path.strip_prefix(&mounted.destination).ok()?.to_owned();
            Some(match mounted.source.clone() {
                Some(source) => Place::Bound(source, rest),
                None => Place::Fresh(rest),
            })
        };
        let in_root = || Place::Root(path.strip_prefix("/").unwrap_or(path).to_owned());
        self.mounted.iter().rev().find_map(below).unwrap_or_else(in_root)
    }
}

/// The names and `..` that a path is made of.
fn parts(path: &Path) -> VecDeque<OsString> {
    let named = |part: &Component| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(named).map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("destinations-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        for directory in ["root/etc", "root/data", "volume"] {
            fs::create_dir_all(path.join(directory)).unwrap();
        }
        path
    }

    fn rewritten(base: &Path, mut mounts: Vec<Value>) -> Vec<String> {
        destinations(&mut mounts, &base.join("root")).unwrap();
        mounts.iter().map(|mount| mount["destination"].as_str().unwrap().to_owned()).collect()
    }

    fn bind(destination: &str) -> Value {
        json!({"destination": destination, "type": "bind", "source": "/etc/hosts"})
    }

    #[test]
    fn links_are_followed_inside_the_root_and_missing_parts_are_kept() {
        let base = scratch("links");
        for (target, name) in [
            ("../run/systemd/resolve/stub-resolv.conf", "etc/resolv.conf"),
            ("/nowhere/hosts", "etc/hosts"),
            ("../../../../outside", "etc/up"),
            ("etc", "configuration"),
        ] {
            symlink(target, base.join("root").join(name)).unwrap();
        }
        let written = ["/etc/resolv.conf", "/etc/hosts", "/etc/up/x", "/configuration/hosts", "/etc//plain/"];
        let expected = [
            "/run/systemd/resolve/stub-resolv.conf",
            "/nowhere/hosts",
            "/outside/x",
            "/nowhere/hosts",
            "/etc//plain/",
        ];
        assert_eq!(rewritten(&base, written.map(bind).to_vec()), expected);
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn what_is_mounted_earlier_hides_links_and_has_its_own() {
        let base = scratch("mounted");
        symlink("/hidden", base.join("root/data/x")).unwrap();
        symlink("/elsewhere", base.join("volume/y")).unwrap();
        let volume = json!({"destination": "/data", "type": "none", "source": base.join("volume"), "options": ["rbind"]});
        let memory = json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs"});
        let mounts =
            vec![bind("/data/x"), volume, bind("/data/x"), bind("/data/y/z"), memory, bind("/data/y")];
        let expected = ["/hidden", "/data", "/data/x", "/elsewhere/z", "/data", "/data/y"];
        assert_eq!(rewritten(&base, mounts), expected);
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_file_system_of_the_kernel_is_mounted_where_it_says_or_nowhere() {
        let base = scratch("kernel");
        symlink("/data", base.join("root/proc")).unwrap();
        assert_eq!(rewritten(&base, vec![json!({"destination": "/proc", "type": "proc"})]), ["/proc"]);
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn dots_lead_upwards_to_the_root_at_most() {
        let base = scratch("dots");
        symlink("/nowhere", base.join("root/b")).unwrap();
        let mounts = vec![
            bind("/a/../../../c/./d"),
            bind("/a/../b"),
            json!({"destination": "/x/../proc", "type": "proc"}),
        ];
        assert_eq!(rewritten(&base, mounts), ["/c/d", "/nowhere", "/proc"]);
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn memory_has_the_permissions_of_the_directory_that_it_hides() {
        use std::os::unix::fs::PermissionsExt;
        let base = scratch("memory");
        symlink("/etc", base.join("root/link")).unwrap();
        for (name, mode) in [("root/etc", 0o700), ("volume", 0o2750)] {
            fs::set_permissions(base.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let memory = |destination: &str| json!({"destination": destination, "type": "tmpfs"});
        let mut explicit = memory("/etc");
        explicit["options"] = json!(["ro", "mode=755"]);
        let volume = json!({"destination": "/data", "source": base.join("volume"), "options": ["bind"]});
        let mut mounts =
            vec![memory("/link"), memory("/etc/new"), volume, memory("/data"), memory("/new"), explicit];
        destinations(&mut mounts, &base.join("root")).unwrap();
        let options: Vec<_> = mounts.iter().map(|mount| &mount["options"]).collect();
        let none = Value::Null;
        let expected = [&json!(["mode=0700"]), &none, &json!(["bind"]), &json!(["mode=2750"]), &none];
        assert_eq!(options[..5], expected);
        assert_eq!(options[5], &json!(["ro", "mode=755"]));
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn no_link_leads_to_the_kernels_files() {
        let base = scratch("proc");
        symlink("/proc/sys", base.join("root/innocent")).unwrap();
        let mounts = |place: &str| vec![json!({"destination": "/proc", "type": "proc"}), bind(place)];
        for bad in ["/innocent/kernel", "/proc/self/attr", "/x/../proc/sysrq-trigger"] {
            assert!(destinations(&mut mounts(bad), &base.join("root")).is_err(), "{bad}");
        }
        assert_eq!(rewritten(&base, mounts("/proc/meminfo")), ["/proc", "/proc/meminfo"]);
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_circle_of_links_ends() {
        let base = scratch("circle");
        symlink("b", base.join("root/a")).unwrap();
        symlink("a", base.join("root/b")).unwrap();
        let error = destinations(&mut [bind("/a")], &base.join("root")).unwrap_err();
        assert!(matches!(error, Error::Io { source, .. } if source.raw_os_error() == Some(libc::ELOOP)));
        fs::remove_dir_all(base).unwrap();
    }
}
