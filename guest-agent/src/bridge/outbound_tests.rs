use lcow_protocol::MessageType;
use lcow_protocol::frame::{MAX_TO_HOST, encode};

use super::*;

fn answer(n: u8) -> Vec<u8> {
    let body = format!(r#"{{"Result":0,"ErrorMessage":"{n}"}}"#);
    encode(MessageType::START.response(), u64::from(n), body.as_bytes(), MAX_TO_HOST).unwrap()
}

fn notification(n: u8) -> Vec<u8> {
    let body = format!(r#"{{"ContainerId":"c{n}"}}"#);
    encode(MessageType::CONTAINER_NOTIFICATION, 0, body.as_bytes(), MAX_TO_HOST).unwrap()
}

fn init(container: &str) -> Waited {
    Waited { container: ContainerId::from(container), process: ProcessId(7) }
}

fn received(receiver: &mut mpsc::UnboundedReceiver<Item>) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| receiver.try_recv().ok()).map(|item| item.frame).collect()
}

#[test]
fn the_same_host_gets_late_answers_and_notifications_in_order_after_negotiating() {
    let outbound = Outbound::default();
    let (first, receiver) = outbound.attach();
    outbound.negotiated(0);
    outbound.detach(None, receiver);
    outbound.answer(first, None, answer(1), None);
    outbound.notify(init("c1"), notification(1));
    let (_, mut receiver) = outbound.attach();
    assert_eq!(received(&mut receiver), Vec::<Vec<u8>>::new());
    outbound.negotiated(7);
    assert_eq!(received(&mut receiver), [answer(1), notification(1)]);
    assert_eq!(outbound.parked(), 0);
}

#[test]
fn a_new_host_gets_no_old_answers_and_notifications_only_of_containers_it_has_named() {
    let outbound = Outbound::default();
    let (first, receiver) = outbound.attach();
    outbound.negotiated(0);
    outbound.detach(None, receiver);
    outbound.answer(first, None, answer(1), None);
    outbound.notify(init("c1"), notification(1));
    outbound.notify(init("c2"), notification(2));
    let (second, mut receiver) = outbound.attach();
    outbound.negotiated(0);
    assert_eq!(received(&mut receiver), Vec::<Vec<u8>>::new());
    outbound.named(&ContainerId::from("c2"));
    assert_eq!(received(&mut receiver), [notification(2)]);
    outbound.answer(second, None, answer(2), None);
    assert_eq!(received(&mut receiver), [answer(2)]);
}

#[test]
fn what_a_connection_did_not_carry_is_not_lost() {
    let outbound = Outbound::default();
    let (first, mut receiver) = outbound.attach();
    outbound.negotiated(0);
    outbound.answer(first, None, answer(1), None);
    outbound.answer(first, None, answer(2), None);
    let in_flight = receiver.try_recv().ok();
    outbound.detach(in_flight, receiver);
    let (_, mut receiver) = outbound.attach();
    outbound.negotiated(3);
    assert_eq!(received(&mut receiver), [answer(1), answer(2)]);
}

fn waited(process: u32) -> Waited {
    Waited { container: ContainerId::from("c1"), process: ProcessId(process) }
}

fn wait(process: u32) -> Wait {
    Wait { on: waited(process), infinite: true }
}

/// A queue whose host has numbered its last request so and is gone, and its connection.
fn left_after(last: u64) -> (Outbound, Generation) {
    let outbound = Outbound::default();
    let (first, receiver) = outbound.attach();
    outbound.negotiated(0);
    outbound.requested(last);
    outbound.detach(None, receiver);
    (outbound, first)
}

#[test]
fn a_migrations_destination_gets_late_waits_once_it_has_waited_anew() {
    let (outbound, first) = left_after(29);
    outbound.answer(first, Some(wait(7)), answer(1), None);
    outbound.answer(first, None, answer(9), None);
    let (_, mut receiver) = outbound.attach();
    outbound.negotiated(0);
    outbound.answer(first, Some(wait(8)), answer(2), None);
    outbound.requested(30);
    assert_eq!(received(&mut receiver), Vec::<Vec<u8>>::new());
    outbound.waits(waited(7));
    assert_eq!(received(&mut receiver), [answer(1)]);
    outbound.waits(waited(8));
    assert_eq!(received(&mut receiver), [answer(2)]);
    outbound.answer(first, Some(wait(8)), answer(3), None);
    assert_eq!(received(&mut receiver), [answer(3)]);
}

#[test]
fn a_destination_takes_over_no_wait_with_a_limit_of_time() {
    let (outbound, first) = left_after(29);
    outbound.answer(first, Some(Wait { on: waited(7), infinite: false }), answer(1), None);
    outbound.answer(first, Some(wait(7)), answer(2), None);
    let (_, mut receiver) = outbound.attach();
    outbound.negotiated(0);
    outbound.requested(30);
    outbound.waits(waited(7));
    assert_eq!(received(&mut receiver), [answer(2)]);
    outbound.answer(first, Some(Wait { on: waited(7), infinite: false }), answer(3), None);
    assert_eq!(received(&mut receiver), Vec::<Vec<u8>>::new());
    assert_eq!(outbound.parked(), 0);
}

/// Whatever names the container first: the old wait, then the new one, then the end.
#[test]
fn a_notification_comes_after_the_answers_to_the_waits_for_init() {
    let (outbound, first) = left_after(29);
    outbound.answer(first, Some(wait(7)), answer(1), None);
    outbound.notify(init("c1"), notification(1));
    let (second, mut receiver) = outbound.attach();
    outbound.negotiated(0);
    outbound.requested(30);
    outbound.waits(waited(8));
    outbound.named(&ContainerId::from("c1"));
    outbound.answer(second, Some(Wait { on: waited(8), infinite: false }), answer(2), None);
    assert_eq!(received(&mut receiver), [answer(2)]);
    outbound.waits(waited(7));
    outbound.named(&ContainerId::from("c1"));
    assert_eq!(received(&mut receiver), [answer(1)]);
    outbound.answer(second, Some(Wait { on: waited(7), infinite: false }), answer(3), None);
    assert_eq!(received(&mut receiver), [answer(3), notification(1)]);
}

#[test]
fn a_host_that_begins_anew_gets_no_old_waits_however_long_it_goes_on() {
    let (outbound, first) = left_after(5);
    outbound.answer(first, Some(wait(7)), answer(1), None);
    let (second, mut receiver) = outbound.attach();
    outbound.negotiated(0);
    for id in 1..20 {
        outbound.requested(id);
    }
    outbound.waits(waited(7));
    assert_eq!(received(&mut receiver), Vec::<Vec<u8>>::new());
    assert_eq!(outbound.parked(), 0);
    // What is moved next is this host's.
    outbound.detach(None, receiver);
    outbound.answer(second, Some(wait(7)), answer(2), None);
    let (_, mut receiver) = outbound.attach();
    outbound.negotiated(0);
    outbound.requested(20);
    outbound.waits(waited(7));
    assert_eq!(received(&mut receiver), [answer(2)]);
}

#[test]
fn a_connection_counts_once_it_has_negotiated() {
    let outbound = Outbound::default();
    let connection = outbound.connection();
    let (first, receiver) = outbound.attach();
    assert_eq!(*connection.borrow(), None);
    outbound.negotiated(0);
    assert_eq!(*connection.borrow(), Some(first));
    outbound.detach(None, receiver);
    assert_eq!(*connection.borrow(), None);
}
