//! The thread that runs one device: one epoll over the front end, the queues and every connection's socket.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use vhost::vhost_user::BackendReqHandler;

use super::device::{Device, TOKEN_CONTROL, TOKEN_KICK};
use super::host::HostSide;

/// Pause between attempts to reach a Unix socket whose backlog is full: it gives no event when there is room.
const REDIAL_MILLIS: u8 = 5;

/// Starts a device for the front end at the other end of `control`. Its thread ends with that connection, or when
/// something is wrong with the rings; the connections of the guest end with it.
pub(super) fn start(control: UnixStream, guest_cid: u64, host: HostSide) -> io::Result<()> {
    let epoll = Arc::new(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
    epoll.add(&control, EpollEvent::new(EpollFlags::EPOLLIN, TOKEN_CONTROL))?;
    let device = Arc::new(Mutex::new(Device::new(guest_cid, host, epoll.clone())?));
    let control = BackendReqHandler::from_stream(control, device.clone());
    let worker = Worker { control, device, epoll };
    thread::Builder::new().name("vsock".into()).spawn(move || match worker.run() {
        Ok(()) => tracing::debug!("the vsock device is gone"),
        Err(error) => tracing::warn!(%error, "the vsock device failed"),
    })?;
    Ok(())
}

struct Worker {
    control: BackendReqHandler<Mutex<Device>>,
    /// Locked by this thread only: the request handler wants it shared, but runs here too.
    device: Arc<Mutex<Device>>,
    epoll: Arc<Epoll>,
}

impl Worker {
    fn run(mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); 64];
        let mut timeout = EpollTimeout::NONE;
        loop {
            let count = match self.epoll.wait(&mut events, timeout) {
                Err(Errno::EINTR) => continue,
                result => result?,
            };
            let (control, others): (Vec<EpollEvent>, Vec<EpollEvent>) =
                events[..count].iter().partition(|event| event.data() == TOKEN_CONTROL);
            if !control.is_empty() && self.control.handle_request().is_err() {
                // The front end has gone, or speaks nonsense and is left.
                return Ok(());
            }
            let mut device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
            for event in others {
                dispatch(&mut device, event);
            }
            if device.mux.is_dialling() {
                device.mux.retry_dials();
            }
            device.process()?;
            timeout =
                if device.mux.is_dialling() { EpollTimeout::from(REDIAL_MILLIS) } else { EpollTimeout::NONE };
        }
    }
}

fn dispatch(device: &mut Device, event: EpollEvent) {
    let token = event.data();
    match usize::try_from(token.saturating_sub(TOKEN_KICK)).ok().and_then(|index| device.rings.get(index)) {
        Some(ring) => ring.drain_kick(),
        None => device.mux.on_socket(token, event.events()),
    }
}
