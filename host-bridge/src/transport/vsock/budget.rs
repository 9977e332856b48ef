//! How much of the host's memory one guest can make its device hold: what is not read by the host side waits in the
//! device and in the socket behind it, and a hostile guest opens as many connections as it may.

/// Bytes that a socket between device and host side holds (`net.core.wmem_default`).
const SOCKET: u64 = 208 * 1024;
/// For all connections of a guest together: some 550 with a large buffer and 1100 more with a small one.
const TOTAL: u64 = 512 * 1024 * 1024;
/// Bytes that the guest may send before the host has taken them.
pub(super) const LARGE: u32 = 256 * 1024;
/// The same for connections that come when half of the budget is spent.
const SMALL: u32 = 16 * 1024;

/// What is left for further connections.
#[derive(Debug)]
pub(super) struct Budget {
    total: u64,
    spent: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(TOTAL)
    }
}

impl Budget {
    /// A budget of `total` bytes.
    pub(super) fn new(total: u64) -> Self {
        Self { total, spent: 0 }
    }

    /// Takes the share of a connection and returns the size of its buffer; `None` when there is no room for another.
    pub(super) fn take(&mut self) -> Option<u32> {
        let buffer = if self.spent + cost(LARGE) <= self.total / 2 { LARGE } else { SMALL };
        let spent = self.spent + cost(buffer);
        (spent <= self.total).then(|| {
            self.spent = spent;
            buffer
        })
    }

    /// A connection with a buffer of that size is gone, and holds nothing any more.
    pub(super) fn give_back(&mut self, buffer: u32) {
        self.spent = self.spent.saturating_sub(cost(buffer));
    }
}

fn cost(buffer: u32) -> u64 {
    SOCKET + u64::from(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_get_small_and_then_there_are_none() {
        let mut budget = Budget::default();
        let taken: Vec<u32> = std::iter::from_fn(|| budget.take()).collect();
        let large = taken.iter().filter(|buffer| **buffer == LARGE).count();
        assert!(large > 500 && taken.len() > 1500, "{large} of {}", taken.len());
        assert!(taken.iter().map(|buffer| cost(*buffer)).sum::<u64>() <= TOTAL);
        for buffer in taken {
            budget.give_back(buffer);
        }
        assert_eq!((budget.spent, budget.take()), (0, Some(LARGE)));
    }
}
