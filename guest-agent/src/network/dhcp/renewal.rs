//! When a lease is renewed, and when it is lost (RFC 2131, 4.4.5).

use std::time::Duration;

use smoltcp::wire::DhcpMessageType;
use tokio::time::{Instant, sleep_until};

use super::message::{Answer, FOREVER};

/// The shortest time between two requests for the same lease.
const PAUSE: Duration = Duration::from_mins(1);

/// Who is asked for more time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::network) enum Whom {
    /// The server that has granted the lease.
    Server,
    /// Any.
    Everybody,
}

/// Why a lease is one no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::network) enum Loss {
    /// Its time is over, and no server has given more.
    Expired,
    /// A server has said no.
    Refused,
}

/// The times of a lease, from the moment at which it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    renew: Duration,
    rebind: Duration,
    expire: Duration,
}

impl Times {
    /// Half of the time and seven eighths of it, unless the server names other ones that are in order.
    fn of(lease: &Answer) -> Self {
        let seconds = |number: u32| Duration::from_secs(number.into());
        let expire = seconds(lease.seconds);
        let rebind = lease.rebind.map(seconds).filter(|time| *time < expire).unwrap_or(expire * 7 / 8);
        let renew =
            lease.renew.map(seconds).filter(|time| *time < rebind).unwrap_or((expire / 2).min(rebind));
        Self { renew, rebind, expire }
    }

    /// When to ask next if it is `now`, and whom.
    fn next(self, now: Duration) -> Option<(Duration, Whom)> {
        // Half of what is left of each span, so that a server that was away is not asked by all at once.
        let within = |end: Duration| now + (end.saturating_sub(now) / 2).max(PAUSE);
        match now {
            _ if now < self.renew => Some((self.renew, Whom::Server)),
            _ if now < self.rebind => match within(self.rebind) {
                again if again < self.rebind => Some((again, Whom::Server)),
                _ => Some((self.rebind, Whom::Everybody)).filter(|_| self.rebind < self.expire),
            },
            _ => Some((within(self.expire), Whom::Everybody)).filter(|(again, _)| *again < self.expire),
        }
    }
}

/// Keeps a lease that was asked for at `asked` for as long as servers let it be kept. `ask` asks once and waits for the
/// answer of either kind for a short time.
pub(super) async fn keep(
    mut lease: Answer,
    mut asked: Instant,
    mut ask: impl AsyncFnMut(Whom, &Answer) -> Option<Answer>,
) -> Loss {
    loop {
        // A lease for ever may follow one for a time.
        if lease.seconds == FOREVER {
            return std::future::pending().await;
        }
        let times = Times::of(&lease);
        let Some((next, whom)) = times.next(asked.elapsed()) else {
            sleep_until(asked + times.expire).await;
            return Loss::Expired;
        };
        sleep_until(asked + next).await;
        let now = Instant::now();
        match ask(whom, &lease).await {
            Some(answer) if answer.kind == DhcpMessageType::Nak => return Loss::Refused,
            Some(answer) if answer.address == lease.address => (lease, asked) = (answer, now),
            // Nobody has granted what was asked for.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::message::tests::{CLIENT_OF_TESTS, answer};
    use super::*;

    const HOUR: [u8; 6] = [51, 4, 0, 0, 14, 16];

    fn grant(options: &[u8]) -> Answer {
        CLIENT_OF_TESTS.read(&answer(5, options)).unwrap()
    }

    /// What a client does with these answers of its server, at which second of the virtual time, and how it ends.
    async fn script(lease: Answer, answers: Vec<Option<Answer>>) -> (Vec<(u64, Whom)>, u64, Loss) {
        let begin = Instant::now();
        let mut answers = VecDeque::from(answers);
        let mut asked = Vec::new();
        let ask = async |whom, _: &Answer| {
            asked.push((begin.elapsed().as_secs(), whom));
            answers.pop_front().flatten()
        };
        let loss = keep(lease, begin, ask).await;
        (asked, begin.elapsed().as_secs(), loss)
    }

    #[tokio::test(start_paused = true)]
    async fn without_any_answer_it_is_asked_more_often_and_of_everybody_until_it_expires() {
        let (asked, end, loss) = script(grant(&HOUR), Vec::new()).await;
        let servers = [1800, 2475, 2812, 2981, 3065, 3125].map(|second| (second, Whom::Server));
        let everybody = [3150, 3375, 3487, 3547].map(|second| (second, Whom::Everybody));
        assert_eq!(asked, [&servers[..], &everybody].concat());
        assert_eq!((end, loss), (3600, Loss::Expired));
    }

    #[tokio::test(start_paused = true)]
    async fn each_renewal_begins_a_new_lease_with_the_times_that_the_server_names() {
        let soon = grant(&[51, 4, 0, 0, 14, 16, 58, 4, 0, 0, 0, 100, 59, 4, 0, 0, 0, 200]);
        let refusal = Answer { kind: DhcpMessageType::Nak, ..grant(&[]) };
        let (asked, end, loss) =
            script(grant(&HOUR), vec![Some(soon), Some(grant(&HOUR)), Some(refusal)]).await;
        let times: Vec<u64> = asked.iter().map(|(second, _)| *second).collect();
        assert_eq!(times, [1800, 1900, 3700]);
        assert_eq!((end, loss), (3700, Loss::Refused));
    }

    #[tokio::test(start_paused = true)]
    async fn more_time_for_another_address_is_none_for_ours() {
        let other = Answer { address: [10, 0, 2, 99].into(), ..grant(&HOUR) };
        let (asked, end, loss) = script(grant(&[51, 4, 0, 0, 0, 16]), vec![Some(other)]).await;
        assert_eq!(asked, [(8, Whom::Server), (14, Whom::Everybody)]);
        assert_eq!((end, loss), (16, Loss::Expired));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_shorter_than_any_pause_is_asked_for_once_of_each() {
        let (asked, end, loss) = script(grant(&[51, 4, 0, 0, 0, 16]), Vec::new()).await;
        assert_eq!(asked, [(8, Whom::Server), (14, Whom::Everybody)]);
        assert_eq!((end, loss), (16, Loss::Expired));
    }

    #[tokio::test(start_paused = true)]
    async fn times_that_are_not_in_order_are_not_heeded() {
        let odd = grant(&[51, 4, 0, 0, 0, 100, 58, 4, 0, 0, 9, 0, 59, 4, 0, 0, 8, 0]);
        let (asked, end, loss) = script(odd, Vec::new()).await;
        assert_eq!(asked, [(50, Whom::Server), (87, Whom::Everybody)]);
        assert_eq!((end, loss), (100, Loss::Expired));
    }
}
