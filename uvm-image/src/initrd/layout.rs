//! Where things are in a utility VM's root file system.

use std::collections::BTreeSet;

use super::agent::Agent;
use super::busybox::Busybox;
use super::tree::Tree;
use crate::selection::Selection;

/// The agent's binary.
const AGENT: &str = "/bin/gcs";

/// The other names under which hosts, the kernel and hooks start the agent's binary.
const AGENT_NAMES: &[&str] = &[
    "/init",
    "/bin/generichook",
    "/bin/guest-agent",
    "/bin/install-drivers",
    "/bin/vsockexec",
    "/bin/wait-paths",
    "/sbin/mkfs.ext4",
    "/sbin/modprobe",
];

/// Names of the agent's small versions of common programs; BusyBox's, where it is, can do more.
const COMMON_NAMES: &[&str] = &["/bin/cat", "/bin/dmesg", "/bin/ls", "/bin/sh", "/bin/test"];

const DIRECTORIES: &[(&str, u32)] = &[
    ("/bin", 0o755),
    ("/dev", 0o755),
    ("/etc", 0o755),
    ("/lib", 0o755),
    ("/mnt", 0o755),
    ("/proc", 0o555),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/sbin", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/usr/bin", 0o755),
    ("/usr/lib", 0o755),
    ("/usr/sbin", 0o755),
    ("/var", 0o755),
];

const FILES: &[(&str, &str)] = &[
    ("/etc/group", "root:x:0:\n"),
    ("/etc/hostname", "uvm\n"),
    ("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
];

/// The root file system of a utility VM with `agent`, the modules of `kernel` and, for debugging, `busybox`.
pub fn tree(agent: &Agent, kernel: &Selection, busybox: Option<&Busybox>) -> Tree {
    let mut tree = Tree::default();
    for (path, mode) in DIRECTORIES {
        tree.directory(path, *mode);
    }
    for (path, text) in FILES {
        tree.file(path, 0o644, *text);
    }
    // The kernel opens the console for init before anybody can mount devtmpfs.
    tree.char_device("/dev/console", 0o600, 5, 1);
    tree.char_device("/dev/null", 0o666, 1, 3);
    tree.file(AGENT, 0o755, agent.bytes.clone());
    for name in AGENT_NAMES {
        tree.symlink(name, AGENT);
    }
    for (path, bytes) in &kernel.module_files {
        tree.file(&format!("/lib/modules/{}/{path}", kernel.release), 0o644, bytes.clone());
    }
    if let Some(busybox) = busybox {
        add_busybox(&mut tree, busybox);
    }
    for name in COMMON_NAMES {
        let by_busybox =
            busybox.is_some_and(|busybox| busybox.names.iter().any(|other| base(other) == base(name)));
        if !by_busybox {
            tree.symlink(name, AGENT);
        }
    }
    tree
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Adds busybox under all its names but ours, wherever in the search path they are.
fn add_busybox(tree: &mut Tree, busybox: &Busybox) {
    const BUSYBOX: &str = "/bin/busybox";
    let ours: BTreeSet<&str> = AGENT_NAMES.iter().chain([&AGENT]).map(|path| base(path)).collect();
    tree.file(BUSYBOX, 0o755, busybox.bytes.clone());
    for name in &busybox.names {
        if !ours.contains(base(name)) && !tree.contains(name) {
            tree.symlink(name, BUSYBOX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initrd::tree::Node;

    fn node<'a>(tree: &'a Tree, path: &str) -> Option<&'a Node> {
        tree.iter().find(|(name, _)| *name == path).map(|(_, entry)| &entry.node)
    }

    fn parts() -> (Agent, Selection) {
        let agent = Agent { bytes: b"agent".to_vec(), ..Agent::default() };
        let mut kernel = Selection { release: "6.1.0".into(), ..Selection::default() };
        kernel.module_files.insert("kernel/fs/ext4.ko".into(), b"ext4".to_vec());
        (agent, kernel)
    }

    #[test]
    fn the_agent_is_there_once_under_all_its_names() {
        let (agent, kernel) = parts();
        let tree = tree(&agent, &kernel, None);
        assert_eq!(node(&tree, "bin/gcs"), Some(&Node::File(b"agent".to_vec())));
        for name in ["init", "bin/vsockexec", "bin/guest-agent", "sbin/mkfs.ext4", "bin/install-drivers"] {
            assert_eq!(node(&tree, name), Some(&Node::Symlink("/bin/gcs".into())), "{name}");
        }
        assert_eq!(node(&tree, "dev/console"), Some(&Node::CharDevice(5, 1)));
        assert!(node(&tree, "lib/modules/6.1.0/kernel/fs/ext4.ko").is_some());
        assert_eq!(node(&tree, "bin/sh"), Some(&Node::Symlink("/bin/gcs".into())));
    }

    #[test]
    fn busybox_does_not_shadow_the_agent() {
        let (agent, kernel) = parts();
        let names = ["bin/sh", "bin/busybox", "sbin/init", "usr/sbin/mkfs.ext4"].map(str::to_owned).to_vec();
        let tree = tree(&agent, &kernel, Some(&Busybox { bytes: b"busybox".to_vec(), names }));
        assert_eq!(node(&tree, "bin/sh"), Some(&Node::Symlink("/bin/busybox".into())));
        assert_eq!(node(&tree, "bin/cat"), Some(&Node::Symlink("/bin/gcs".into())));
        assert_eq!(node(&tree, "bin/busybox"), Some(&Node::File(b"busybox".to_vec())));
        assert!(node(&tree, "sbin/init").is_none() && node(&tree, "usr/sbin/mkfs.ext4").is_none());
    }
}
