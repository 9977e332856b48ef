//! The counting of users, without a VM.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, mpsc};

use super::owner::{Command, Owner};
use super::plug::Plug;
use super::{AttachError, AttachedLayer, PlugError, UnplugError, attach_all};
use crate::guest::GuestError;
use crate::vmm::{Disk, Lun, VmmError, disk::Format};

/// A VM that plugs disks in when it is told to.
#[derive(Clone)]
struct Machine(Arc<State>);

struct State {
    /// One permit for each operation that may go on.
    gate: Semaphore,
    /// Operations that have come as far as the gate.
    events: mpsc::UnboundedSender<&'static str>,
    disks: Mutex<BTreeMap<Lun, PathBuf>>,
    /// Failures to come.
    refused: Mutex<Vec<Refusal>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Attach,
    Unmount,
    Pull,
}

impl Machine {
    fn new(permits: usize) -> (Self, mpsc::UnboundedReceiver<&'static str>) {
        let (events, seen) = mpsc::unbounded_channel();
        let gate = Semaphore::new(permits);
        (Self(Arc::new(State { gate, events, disks: Mutex::default(), refused: Mutex::default() })), seen)
    }

    fn disks(&self) -> Vec<PathBuf> {
        self.0.disks.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn refuse(&self, refusal: Refusal) {
        self.0.refused.lock().unwrap_or_else(PoisonError::into_inner).push(refusal);
    }

    fn is_refused(&self, refusal: Refusal) -> bool {
        let mut refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let at = refused.iter().position(|&other| other == refusal);
        at.map(|at| refused.remove(at)).is_some()
    }

    async fn pass(&self, event: &'static str) {
        self.0.events.send(event).expect("a test that looks");
        self.0.gate.acquire().await.expect("open").forget();
    }
}

impl Plug for Machine {
    async fn attach(self, disk: Disk) -> Result<Lun, PlugError> {
        assert!(disk.read_only);
        self.pass("attach").await;
        if self.is_refused(Refusal::Attach) {
            return Err(VmmError::NotStarted { reason: "no".into() }.into());
        }
        let mut disks = self.0.disks.lock().unwrap_or_else(PoisonError::into_inner);
        let lun = (0..).map_while(Lun::new).find(|lun| !disks.contains_key(lun)).expect("a free unit");
        disks.insert(lun, disk.path);
        Ok(lun)
    }

    async fn detach(self, lun: Lun) -> Result<(), UnplugError> {
        self.pass("detach").await;
        if self.is_refused(Refusal::Unmount) {
            let source =
                GuestError::Stream { operation: "unmount", source: io::ErrorKind::ResourceBusy.into() };
            return Err(UnplugError::Unmount { lun, source });
        }
        if self.is_refused(Refusal::Pull) {
            return Err(VmmError::NotStarted { reason: "no".into() }.into());
        }
        self.0.disks.lock().unwrap_or_else(PoisonError::into_inner).remove(&lun);
        Ok(())
    }
}

fn disks(names: &[&str]) -> Vec<Disk> {
    names.iter().map(|name| Disk { path: name.into(), read_only: false, format: Format::Raw }).collect()
}

type Asked = tokio::task::JoinHandle<Result<Vec<AttachedLayer>, AttachError>>;

/// Asks for layers in the background; they have been asked for when this returns.
async fn ask(owner: &mpsc::UnboundedSender<Command>, names: &[&str]) -> Asked {
    let (owner, wanted) = (owner.clone(), disks(names));
    let asked = tokio::spawn(async move { attach_all(&owner, wanted).await });
    // On a runtime with one thread it has now run up to its first wait.
    tokio::task::yield_now().await;
    asked
}

async fn attached(owner: &mpsc::UnboundedSender<Command>, names: &[&str]) -> Vec<AttachedLayer> {
    attach_all(owner, disks(names)).await.expect("attached")
}

#[tokio::test]
async fn users_share_a_layer_and_the_last_takes_it_down() {
    let (machine, _seen) = Machine::new(100);
    let owner = Owner::spawn(machine.clone());
    let first = attached(&owner, &["a", "b", "a"]).await;
    let second = attached(&owner, &["b", "c"]).await;
    assert_eq!(machine.disks().len(), 3);
    assert_eq!((first[0].lun(), first[1].lun()), (first[2].lun(), second[0].lun()));
    for layer in first {
        layer.release().await.expect("released");
    }
    assert_eq!(machine.disks().len(), 2);
    super::release_all(second).await.expect("released");
    assert!(machine.disks().is_empty());
}

#[tokio::test]
async fn those_who_come_at_once_wait_for_one_attachment() {
    let (machine, mut seen) = Machine::new(0);
    let owner = Owner::spawn(machine.clone());
    let all = [ask(&owner, &["a"]).await, ask(&owner, &["a"]).await, ask(&owner, &["a"]).await];
    assert_eq!(seen.recv().await, Some("attach"));
    machine.0.gate.add_permits(10);
    let mut layers = Vec::new();
    for asked in all {
        layers.extend(asked.await.expect("task").expect("attached"));
    }
    assert_eq!((layers.len(), machine.disks().len()), (3, 1));
    assert!(seen.try_recv().is_err(), "attached more than once");
    super::release_all(layers).await.expect("released");
    assert!(machine.disks().is_empty());
}

#[tokio::test]
async fn a_failure_reaches_all_who_wait_and_leaves_nothing() {
    let (machine, mut seen) = Machine::new(0);
    let owner = Owner::spawn(machine.clone());
    machine.refuse(Refusal::Attach);
    let both = [ask(&owner, &["a"]).await, ask(&owner, &["a", "b"]).await];
    assert_eq!((seen.recv().await, seen.recv().await), (Some("attach"), Some("attach")));
    machine.0.gate.add_permits(10);
    for asked in both {
        let error = asked.await.expect("task").expect_err("refused");
        assert_eq!(error.path, PathBuf::from("a"));
    }
    assert!(machine.disks().is_empty());
    // Nothing is remembered against it.
    super::release_all(attached(&owner, &["a", "b"]).await).await.expect("released");
    assert!(machine.disks().is_empty());
}

#[tokio::test]
async fn who_gives_up_leaves_nothing() {
    let (machine, mut seen) = Machine::new(0);
    let owner = Owner::spawn(machine.clone());
    let asked = ask(&owner, &["a"]).await;
    assert_eq!(seen.recv().await, Some("attach"));
    asked.abort();
    assert!(asked.await.expect_err("aborted").is_cancelled());
    machine.0.gate.add_permits(10);
    assert_eq!(seen.recv().await, Some("detach"));
    // A dropped reference comes back, even if nobody is left to ask for anything.
    let layers = attached(&owner, &["b"]).await;
    drop(owner);
    drop(layers);
    assert_eq!((seen.recv().await, seen.recv().await), (Some("attach"), Some("detach")));
    // The owner has ended when its VM is let go.
    drop(machine);
    assert_eq!(seen.recv().await, None);
}

#[tokio::test]
async fn a_layer_that_is_wanted_while_it_goes_comes_back() {
    let (machine, mut seen) = Machine::new(1);
    let owner = Owner::spawn(machine.clone());
    let layer = attached(&owner, &["a"]).await.pop().expect("one");
    let released = tokio::spawn(layer.release());
    assert_eq!((seen.recv().await, seen.recv().await), (Some("attach"), Some("detach")));
    let asked = ask(&owner, &["a"]).await;
    machine.0.gate.add_permits(10);
    released.await.expect("task").expect("released");
    let layers = asked.await.expect("task").expect("attached");
    assert_eq!((machine.disks().len(), seen.recv().await), (1, Some("attach")));
    super::release_all(layers).await.expect("released");
    assert!(machine.disks().is_empty());
}

#[tokio::test]
async fn what_stays_mounted_is_used_again_and_what_stays_plugged_in_is_not() {
    let (machine, _seen) = Machine::new(100);
    let owner = Owner::spawn(machine.clone());
    machine.refuse(Refusal::Unmount);
    let layers = attached(&owner, &["a"]).await;
    let lun = layers[0].lun();
    assert!(super::release_all(layers).await.is_err());
    let layers = attached(&owner, &["a"]).await;
    assert_eq!((layers[0].lun(), machine.disks().len()), (lun, 1));
    machine.refuse(Refusal::Pull);
    assert!(super::release_all(layers).await.is_err());
    let layers = attached(&owner, &["a"]).await;
    assert_ne!(layers[0].lun(), lun);
    super::release_all(layers).await.expect("released");
    assert_eq!(machine.disks().len(), 1, "the one that could not be pulled");
}
