//! The requests that are being worked on, for people who ask what keeps an agent busy.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use lcow_protocol::{ContainerId, MessageType};

/// All of them, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Requests(Rc<RefCell<Table>>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    open: BTreeMap<u64, Request>,
}

#[derive(Debug)]
struct Request {
    message: MessageType,
    id: u64,
    container: ContainerId,
    since: Instant,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Open {
    table: Rc<RefCell<Table>>,
    key: u64,
}

impl Requests {
    /// A request with the number `id` on its connection.
    pub(super) fn open(&self, message: MessageType, id: u64, container: ContainerId) -> Open {
        let mut table = self.0.borrow_mut();
        let key = table.next;
        table.next += 1;
        table.open.insert(key, Request { message, id, container, since: Instant::now() });
        Open { table: Rc::clone(&self.0), key }
    }

    /// A line for each.
    pub(super) fn describe(&self) -> Vec<String> {
        let line = |request: &Request| {
            let Request { message, id, container, since } = request;
            format!("request {id}: {message} for {container}, {} ms", since.elapsed().as_millis())
        };
        self.0.borrow().open.values().map(line).collect()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.table.borrow_mut().open.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_listed_until_it_is_answered() {
        let requests = Requests::default();
        let first = requests.open(MessageType::CREATE, 7, ContainerId::from("web"));
        let second = requests.open(MessageType::START, 8, ContainerId::from("db"));
        let lines = requests.describe();
        assert!(lines[0].starts_with("request 7: ") && lines[0].contains("for web"), "{lines:?}");
        assert_eq!(lines.len(), 2);
        drop(first);
        assert!(requests.describe()[0].contains("for db"));
        drop(second);
        assert!(requests.describe().is_empty());
    }
}
