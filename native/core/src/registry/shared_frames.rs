//! What many subscribers of a partition are sent is encoded once: they ask for the same offsets one
//! after the other, and only the front of a frame, which names the subscription, differs.
//!
//! A frame is kept once a second reader has asked for the same offset, so a partition with one
//! reader pays for a look-up and nothing else.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Weak},
};

use lru::LruCache;

use super::{
    Store,
    channel::Channel,
    deliver::{Outcome, ReadRequest, bytes_to_read},
    elsewhere::Connection,
};
use crate::{env::Clock, error::Result, log::Log, messagepack::replace_front};

/// Partitions of which it is known who read last.
const PARTITIONS_MAX: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// Bytes of all frames that are kept, but always one.
const KEPT_BYTES_MAX: usize = 8 << 20;
/// A frame is given to further readers for so long: compaction may have removed what is in it, and
/// who reads a removed record has `delete.retention.ms` to reach its tombstone.
const KEPT_NS_MAX: u64 = 1_000_000_000;

/// The frames of one event loop.
pub struct SharedFrames {
    partitions: LruCache<(u32, u32), Partition>,
    kept_bytes: usize,
    /// The frame of the last read, unless it is one that is kept.
    frame: Vec<u8>,
    /// The partition whose kept frame is that of the last read.
    from_kept: Option<(u32, u32)>,
}

/// Who read a partition last, and what.
struct Partition {
    log: Weak<Log>,
    offset: u64,
    reader: (Connection, u32),
    kept: Option<Kept>,
}

struct Kept {
    frame: Vec<u8>,
    made_ns: u64,
    base_offset: u64,
    records: u32,
    bytes: u64,
    next_offset: u64,
    /// It goes as far as there were records.
    is_to_end: bool,
    records_max: u32,
    bytes_max: u64,
    /// Somebody else was given it.
    is_used: bool,
}

impl Default for SharedFrames {
    fn default() -> Self {
        let partitions = LruCache::new(PARTITIONS_MAX);
        Self { partitions, kept_bytes: 0, frame: Vec::new(), from_kept: None }
    }
}

impl SharedFrames {
    /// The frame of the last [`read_shared`](Store::read_shared); empty where it had no records.
    pub fn last(&self) -> &[u8] {
        let kept = self.from_kept.and_then(|key| self.partitions.peek(&key)?.kept.as_ref());
        kept.map_or(&self.frame, |kept| &kept.frame)
    }

    /// Gives the memory of the last frame up, which was larger than most.
    pub fn forget_last(&mut self) {
        match self.from_kept.take() {
            Some(key) => self.drop_kept(key),
            None => self.frame = Vec::new(),
        }
    }

    /// The kept frame that answers a request, with its front made the request's.
    fn find(&mut self, log: &Arc<Log>, request: &ReadRequest, now_ns: u64) -> Option<Outcome> {
        let key = (request.topic, request.partition);
        let partition = self.partitions.get_mut(&key)?;
        let is_same = partition.offset == request.offset && is_of(&partition.log, log);
        let kept = partition.kept.as_mut().filter(|kept| is_same && kept.suits(request, now_ns))?;
        let offsets = log.offsets();
        if request.offset < offsets.log_start {
            return None;
        }
        let high_watermark = offsets.high_watermark;
        let before = kept.frame.capacity();
        let body_bytes = usize::try_from(kept.bytes).ok()?;
        let signed = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
        replace_front(
            &mut kept.frame,
            body_bytes,
            request.subscription,
            signed(kept.base_offset),
            signed(high_watermark),
        );
        kept.is_used = true;
        self.kept_bytes = self.kept_bytes + kept.frame.capacity() - before;
        self.from_kept = Some(key);
        Some(Outcome::Records {
            records: kept.records,
            bytes: kept.bytes,
            base_offset: kept.base_offset,
            next_offset: kept.next_offset,
            high_watermark,
        })
    }

    /// Notes who has read what, and keeps the frame where others are likely to ask for it.
    fn note(&mut self, log: &Arc<Log>, request: &ReadRequest, outcome: &Outcome, now_ns: u64) {
        let &Outcome::Records { records, bytes, base_offset, next_offset, high_watermark } =
            outcome
        else {
            return;
        };
        let key = (request.topic, request.partition);
        let reader = (request.connection, request.subscription);
        let known = self.partitions.get_mut(&key).filter(|known| is_of(&known.log, log));
        let Some(partition) = known else {
            let log = Arc::downgrade(log);
            let partition = Partition { log, offset: request.offset, reader, kept: None };
            let gone = self.partitions.push(key, partition);
            self.kept_bytes -= gone.map_or(0, |(_, gone)| gone.kept_bytes());
            return;
        };
        let is_asked_again = partition.offset == request.offset && partition.reader != reader;
        let is_shared = is_asked_again || partition.kept.as_ref().is_some_and(|kept| kept.is_used);
        partition.offset = request.offset;
        partition.reader = reader;
        let old = partition.kept.take();
        self.kept_bytes -= old.as_ref().map_or(0, |old| old.frame.capacity());
        if !is_shared {
            return;
        }
        // The memory of the frame before is the next one's.
        let mut frame = old.map(|old| old.frame).unwrap_or_default();
        std::mem::swap(&mut frame, &mut self.frame);
        self.kept_bytes += frame.capacity();
        partition.kept = Some(Kept {
            frame,
            made_ns: now_ns,
            base_offset,
            records,
            bytes,
            next_offset,
            is_to_end: next_offset >= high_watermark,
            records_max: request.records_max,
            bytes_max: bytes_to_read(request),
            is_used: false,
        });
        self.from_kept = Some(key);
        self.keep_within(key);
    }

    /// Gives frames up, those of the partitions that were read longest ago first.
    fn keep_within(&mut self, newest: (u32, u32)) {
        while self.kept_bytes > KEPT_BYTES_MAX {
            let oldest =
                self.partitions.iter().rev().find(|(_, partition)| partition.kept.is_some());
            match oldest.map(|(&key, _)| key) {
                Some(key) if key != newest => self.drop_kept(key),
                _ => return,
            }
        }
    }

    fn drop_kept(&mut self, key: (u32, u32)) {
        if let Some(kept) =
            self.partitions.peek_mut(&key).and_then(|partition| partition.kept.take())
        {
            self.kept_bytes -= kept.frame.capacity();
        }
    }
}

impl Partition {
    fn kept_bytes(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.frame.capacity())
    }
}

impl Kept {
    /// Whether it is what the request would be answered, or as much of it as there was: nobody gets
    /// less because another one had asked for less.
    fn suits(&self, request: &ReadRequest, now_ns: u64) -> bool {
        let (records_max, bytes_max) = (request.records_max, bytes_to_read(request));
        let is_within =
            self.records <= records_max.max(1) && (self.records <= 1 || self.bytes <= bytes_max);
        let is_as_much = self.is_to_end
            || (self.bytes_max == bytes_max
                && (self.records < self.records_max || self.records_max == records_max));
        is_within && is_as_much && now_ns.saturating_sub(self.made_ns) <= KEPT_NS_MAX
    }
}

/// A log that is gone is not taken for the one that has its place: the weak reference keeps that.
fn is_of(known: &Weak<Log>, log: &Arc<Log>) -> bool {
    std::ptr::eq(known.as_ptr(), Arc::as_ptr(log))
}

impl Store {
    /// As [`read_records`](Self::read_records), but what another subscription of the loop was just
    /// sent is not encoded again. The frame is [`SharedFrames::last`].
    ///
    /// # Errors
    /// Those of [`read_records`](Self::read_records).
    pub fn read_shared(
        &self,
        channel: &Arc<Channel>,
        request: &ReadRequest,
        frames: &mut SharedFrames,
    ) -> Result<Outcome> {
        let log = self.log(request.topic, request.partition)?;
        let clock: &dyn Clock = &*self.shared().env.clock;
        let now_ns = clock.monotonic_ns();
        frames.from_kept = None;
        frames.frame.clear();
        if let Some(outcome) = frames.find(&log, request, now_ns) {
            // One that was made for this reader alone is not waited for any more.
            drop(channel.deliveries.take(request));
            return Ok(outcome);
        }
        let outcome = self.read_records(channel, request, &mut frames.frame)?;
        frames.note(&log, request, &outcome, now_ns);
        Ok(outcome)
    }
}
