//! The kernel's messages: records of `/dev/kmsg` (kernel documentation, `ABI/testing/dev-kmsg`).

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KernelMessage {
    /// 0 is the worst, 7 the least.
    pub(crate) priority: u8,
    /// Who speaks; 0 is the kernel.
    pub(crate) facility: u32,
    /// Counts the records.
    pub(crate) sequence: u64,
    /// Microseconds since the kernel started.
    pub(crate) micros: u64,
    /// `-`, `c` or `+`: whether it is a part of a line.
    pub(crate) flags: String,
    /// The message.
    pub(crate) text: String,
}

impl KernelMessage {
    /// Reads `SYSLOG,SEQUENCE,MICROSECONDS,FLAGS[,…];TEXT`; further lines of the record describe devices.
    pub(crate) fn parse(record: &[u8]) -> Option<Self> {
        let record = String::from_utf8_lossy(record);
        let (head, text) = record.split_once(';')?;
        let mut fields = head.split(',');
        let syslog: u32 = fields.next()?.parse().ok()?;
        Some(Self {
            priority: u8::try_from(syslog & 7).ok()?,
            facility: syslog >> 3,
            sequence: fields.next()?.parse().ok()?,
            micros: fields.next()?.parse().ok()?,
            flags: fields.next()?.to_owned(),
            text: text.lines().next().unwrap_or_default().to_owned(),
        })
    }

    /// The priority's name in log lines.
    pub(crate) fn priority_name(&self) -> &'static str {
        const NAMES: [&str; 8] = ["Emerg", "Alert", "Crit", "Err", "Warning", "Notice", "Info", "Debug"];
        NAMES[usize::from(self.priority & 7)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_rubbish_is_not() {
        let message =
            KernelMessage::parse(b"30,1042,5140900,-,caller=T1;sda: gone\n SUBSYSTEM=scsi\n").unwrap();
        let expected = KernelMessage {
            priority: 6,
            facility: 3,
            sequence: 1042,
            micros: 5_140_900,
            flags: "-".into(),
            text: "sda: gone".into(),
        };
        assert_eq!(message, expected);
        assert_eq!(message.priority_name(), "Info");
        for bad in ["", "x", "1,2;text", "a,2,3,-;text", "1,2,3,-"] {
            assert!(KernelMessage::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
