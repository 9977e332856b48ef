//! `MappedDirectory` (spec section 6.3): a directory of the host by 9P2000.L over a socket of its own.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lcow_protocol::VsockPort;
use lcow_protocol::settings::MappedDirectory;
use nix::mount::MsFlags;
use nix::sys::socket::{Shutdown, setsockopt, shutdown, sockopt};
use tokio::sync::oneshot;

use super::setup::{self, Kind, Mount, Setup};
use super::{Error, Storage, blocking};
use crate::transport::HostStream;

/// Longest 9P message, and size of the socket's buffers, in bytes.
const MESSAGE_SIZE: usize = 65536;
/// How long the host's server may take to answer the mount.
const PATIENCE: Duration = Duration::from_secs(30);

impl Storage {
    /// Connects to the host's server and mounts the share.
    pub(crate) async fn add_directory(&self, share: MappedDirectory) -> Result<(), Error> {
        let target = setup::mount_path(&share.mount_path)?;
        let port = u32::try_from(share.port)
            .map_err(|_| Error::Invalid(format!("{} is no port of the host", share.port)))?;
        if share.share_name.contains(',') {
            return Err(Error::Invalid(format!("share name {:?} has a comma", share.share_name)));
        }
        super::machine_prepared().await;
        let stream = HostStream::dial(VsockPort(port)).await?;
        let socket = stream.into_blocking_fd().map_err(Error::io("preparing the socket of", &target))?;
        mount(socket, target.clone(), share).await?;
        self.remember(target, Setup::plain(Kind::Mounted));
        Ok(())
    }

    /// Unmounts the share.
    pub(crate) async fn remove_directory(&self, share: MappedDirectory) -> Result<(), Error> {
        self.take_down(setup::mount_path(&share.mount_path)?, Kind::Mounted).await
    }
}

/// Mounts over `socket`, of which the kernel keeps a reference of its own. A server that does not answer would hold
/// the mount for ever, so after a while its connection is cut, and the mount fails.
async fn mount(socket: OwnedFd, target: PathBuf, share: MappedDirectory) -> Result<(), Error> {
    let cut = socket.try_clone().map_err(Error::io("preparing the socket of", &target))?;
    let (begin, under_way) = oneshot::channel();
    let mut mounting = std::pin::pin!(blocking(move || {
        // Nobody listens if the request was given up.
        let _ = begin.send(());
        mount_blocking(&socket, &target, &share)
    }));
    // A job may have to wait for a thread, for which the server is not to blame.
    let too_long = async {
        let _ = under_way.await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        biased;
        result = &mut mounting => return result,
        () = too_long => {}
    }
    // Fails if the peer is gone, which ends the mount just as well.
    let _ = shutdown(cut.as_raw_fd(), Shutdown::Both);
    mounting.await
}

fn mount_blocking(socket: &OwnedFd, target: &Path, share: &MappedDirectory) -> Result<(), Error> {
    for result in [
        setsockopt(socket, sockopt::RcvBuf, &MESSAGE_SIZE),
        setsockopt(socket, sockopt::SndBuf, &MESSAGE_SIZE),
    ] {
        result.map_err(|error| Error::io("sizing the buffers of", target)(error.into()))?;
    }
    let flags = if share.read_only { MsFlags::MS_RDONLY } else { MsFlags::empty() };
    Mount { kind: "9p", flags, data: &data(socket.as_raw_fd(), &share.share_name), options: &[] }
        .make(target, target)
}

fn data(socket: i32, share: &str) -> String {
    let mut data = format!("trans=fd,rfdno={socket},wfdno={socket},msize={MESSAGE_SIZE},version=9p2000.L");
    if !share.is_empty() {
        data.push_str(",aname=");
        data.push_str(share);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_without_a_name_is_the_servers_root() {
        assert!(!data(7, "").contains("aname"));
        assert_eq!(data(7, "3"), "trans=fd,rfdno=7,wfdno=7,msize=65536,version=9p2000.L,aname=3");
    }
}
