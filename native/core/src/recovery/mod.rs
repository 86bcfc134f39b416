//! What a start after a crash has to find out, and what it reports.

pub mod checkpoint;
pub mod place;
pub mod repair;
pub mod rewrite;
pub mod scan;
pub mod verify;

/// What happened to stored data at the last open. Nothing is dropped without one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryEntry {
    /// Partition or path.
    pub subject: String,
    /// What was found.
    pub event: RecoveryEvent,
}

/// What recovery found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecoveryEvent {
    /// Bytes behind the last whole batch were erased: appends that were never acked as flushed.
    TailErased {
        /// Offset at which the log goes on.
        offset: u64,
        /// Bytes erased, without the zeros that were allocated ahead.
        bytes: u64,
    },
    /// A range in the middle cannot be read; what follows is kept.
    Quarantined {
        /// First offset of the range.
        from_offset: u64,
        /// First offset behind it.
        to_offset: u64,
        /// Bytes of the range.
        bytes: u64,
    },
    /// The flush journal had records that were acked and not synced in their segments.
    Replayed {
        /// Groups that it held.
        groups: u64,
        /// Logs that got records.
        logs: u64,
        /// Bytes that they got.
        bytes: u64,
    },
    /// Part of the flush journal is lost: records that were acked may be.
    JournalDamaged {
        /// What is wrong, for people.
        detail: String,
    },
    /// A directory that no topic claims was moved aside.
    SetAside {
        /// Where it lies now.
        path: String,
    },
}

impl std::fmt::Display for RecoveryEntry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let subject = &self.subject;
        match &self.event {
            RecoveryEvent::TailErased { offset, bytes } => write!(
                formatter,
                "{subject}: erased {bytes} bytes of an unfinished append behind offset {offset}"
            ),
            RecoveryEvent::Quarantined { from_offset, to_offset, bytes } => write!(
                formatter,
                "{subject}: offsets {from_offset} to {to_offset} are damaged ({bytes} bytes) and \
                 are served around"
            ),
            RecoveryEvent::Replayed { groups, logs, bytes } => write!(
                formatter,
                "{subject}: {bytes} bytes of {groups} groups were brought to {logs} logs"
            ),
            RecoveryEvent::JournalDamaged { detail } => write!(formatter, "{subject}: {detail}"),
            RecoveryEvent::SetAside { path } => {
                write!(formatter, "{subject}: no topic claims it; moved to {path}")
            }
        }
    }
}
