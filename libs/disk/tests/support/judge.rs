use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether a tool is installed; prints why a check is skipped otherwise.
pub(crate) fn have(tool: &str) -> bool {
    let found = Command::new(tool).arg("-V").output().is_ok();
    if !found {
        println!("skipped: {tool} is not installed");
    }
    found
}

/// `e2fsck -fn` finds nothing to say.
pub(crate) fn assert_clean(image: &Path) {
    if !have("e2fsck") {
        return;
    }
    let checked = Command::new("e2fsck").arg("-fn").arg(image).output().unwrap();
    assert!(
        checked.status.success(),
        "{}{}",
        String::from_utf8_lossy(&checked.stdout),
        String::from_utf8_lossy(&checked.stderr)
    );
}

/// What `debugfs` answers to one request; `None`, with the reason printed, where it is not installed.
pub(crate) fn debugfs(image: &Path, request: &str) -> Option<String> {
    if !have("debugfs") {
        return None;
    }
    let output = Command::new("debugfs").arg("-R").arg(request).arg(image).output().unwrap();
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// An image mounted by the kernel, until dropped.
pub(crate) struct Mounted {
    directory: tempfile::TempDir,
}

impl Mounted {
    /// `None`, with the reason printed, where mounting is not possible.
    pub(crate) fn new(image: &Path, options: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "ext4", "-o", &format!("loop,{options}")])
            .args([image, directory.path()])
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self { directory }),
            Ok(output) if !is_root() => {
                println!("skipped: cannot mount: {}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Ok(output) if !Path::new("/dev/loop-control").exists() => {
                println!("skipped: no loop devices: {}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Ok(output) => panic!("the kernel refuses: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => {
                println!("skipped: no mount command: {error}");
                None
            }
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let done = unmount(self.directory.path());
        assert!(done.is_ok() || std::thread::panicking(), "unmounting: {done:?}");
    }
}

/// Unmounts, so that the image is complete. Our files there are closed by now; but a program that another test starts has
/// all open files of this process from its fork to its exec, and the file system is busy for that moment. Detaching it
/// would not wait for what is still to be written.
#[cfg(target_os = "linux")]
fn unmount(path: &Path) -> rustix::io::Result<()> {
    use rustix::mount::{UnmountFlags, unmount};
    const TRIES: u32 = 1000;
    let busy = |done: &rustix::io::Result<()>| *done == Err(rustix::io::Errno::BUSY);
    let mut done = unmount(path, UnmountFlags::empty());
    for _ in 0..TRIES {
        if !busy(&done) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
        done = unmount(path, UnmountFlags::empty());
    }
    done
}

/// Nothing is mounted elsewhere.
#[cfg(not(target_os = "linux"))]
fn unmount(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Directories under overlayfs, the top-most first, until dropped.
pub(crate) struct Union {
    mounted: Mounted,
}

impl Union {
    /// `None`, with the reason printed, where that is not possible.
    pub(crate) fn new(layers: &[&Path]) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let lower = layers.iter().map(|path| path.to_str().unwrap()).collect::<Vec<_>>().join(":");
        let output = Command::new("mount")
            .args(["-t", "overlay", "overlay", "-o", &format!("lowerdir={lower}")])
            .arg(directory.path())
            .output();
        match output {
            Ok(output) if output.status.success() => Some(Self { mounted: Mounted { directory } }),
            Ok(output) => {
                println!("skipped: no overlayfs: {}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(error) => {
                println!("skipped: no mount command: {error}");
                None
            }
        }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.mounted.path("")
    }
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:\t0"))
}
