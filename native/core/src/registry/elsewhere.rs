//! Produce frames that another thread appends: what has to stay behind them, and how much of them
//! may wait.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::{
    Store,
    channel::{Channel, PendingFrame},
    produce::{
        Ack, EntryDetails, Frame, FrameState, FrameWork, ProduceScratch, ProducerIdentity, refuse,
    },
};
use crate::{
    env::Clock,
    error::Code,
    flush::fair::{Job, Owner, Step},
    layout, limits,
    log::waiters::Acknowledge,
};

/// A connection of an event loop, by the number that the loop gives it.
pub type Connection = u64;

/// The frames of one event loop that another thread appends.
#[derive(Default)]
pub struct FramesElsewhere {
    count: AtomicUsize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    bytes: u64,
    connections: HashMap<Connection, OfConnection>,
}

#[derive(Default)]
struct OfConnection {
    bytes: u64,
    /// Entries about each topic.
    topics: HashMap<u32, u32>,
}

/// How many frames wait or are being appended, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ElsewhereStatistics {
    /// Frames.
    pub frames: u64,
    /// Bytes that they hold.
    pub bytes: u64,
}

impl FramesElsewhere {
    /// Whether frames of the connection have entries about the topic: what it sends to the topic
    /// has to stay behind them.
    pub(super) fn hold(&self, connection: Connection, topic: u32) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let waiting = self.waiting.lock();
        let of_connection = waiting.connections.get(&connection);
        of_connection.is_some_and(|frames| frames.topics.contains_key(&topic))
    }

    /// Admits a frame with entries about `topics`, or not: of the room that there is a connection
    /// takes at most as much as it leaves to others, so that none can keep all others out.
    pub(super) fn admit(
        self: &Arc<Self>,
        connection: Connection,
        bytes: u64,
        topics: Vec<u32>,
    ) -> Option<Admitted> {
        let waiting = &mut *self.waiting.lock();
        let own = waiting.connections.get(&connection).map_or(0, |frames| frames.bytes);
        if own + bytes > limits::ELSEWHERE_BYTES_MAX.saturating_sub(waiting.bytes + bytes) {
            return None;
        }
        waiting.bytes += bytes;
        let frames = waiting.connections.entry(connection).or_default();
        frames.bytes += bytes;
        for topic in &topics {
            *frames.topics.entry(*topic).or_default() += 1;
        }
        self.count.fetch_add(1, Ordering::AcqRel);
        Some(Admitted { elsewhere: Arc::clone(self), connection, bytes, topics })
    }

    fn dismiss(&self, admitted: &Admitted) {
        let waiting = &mut *self.waiting.lock();
        waiting.bytes -= admitted.bytes;
        if let Some(frames) = waiting.connections.get_mut(&admitted.connection) {
            frames.bytes -= admitted.bytes;
            for topic in &admitted.topics {
                if let Some(entries) = frames.topics.get_mut(topic) {
                    *entries -= 1;
                }
            }
            frames.topics.retain(|_, entries| *entries > 0);
            if frames.bytes == 0 && frames.topics.is_empty() {
                waiting.connections.remove(&admitted.connection);
            }
        }
        self.count.fetch_sub(1, Ordering::AcqRel);
    }

    /// How much waits or is being appended now.
    pub fn statistics(&self) -> ElsewhereStatistics {
        let bytes = self.waiting.lock().bytes;
        ElsewhereStatistics { frames: self.count.load(Ordering::Acquire) as u64, bytes }
    }
}

/// The place of one frame; given back when it is dropped.
pub(super) struct Admitted {
    elsewhere: Arc<FramesElsewhere>,
    connection: Connection,
    bytes: u64,
    topics: Vec<u32>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.elsewhere.dismiss(self);
    }
}

/// What became of a frame that another thread appended.
#[derive(Debug, Default)]
pub struct AppendedFrame {
    /// Its rows.
    pub plan: Vec<f64>,
    /// What else became of its entries.
    pub details: EntryDetails,
    /// As in [`Outcome::reached`](super::produce::Outcome::reached).
    pub reached: u8,
}

/// The rest of a frame, on its way to another thread. An entry is a step.
pub(super) struct FrameElsewhere {
    store: Arc<Store>,
    channel: Arc<Channel>,
    /// The part of the frame that its bodies lie in, and where in the frame that begins.
    bytes: Vec<u8>,
    bytes_start: usize,
    ack: Ack,
    producer: Option<ProducerIdentity>,
    connection: Connection,
    plan: Vec<f64>,
    /// The next entry.
    next: usize,
    scratch: ProduceScratch,
    state: FrameState,
    end: FrameEnd,
}

/// What has to happen however the work on a frame ends.
struct FrameEnd {
    admitted: Option<Admitted>,
    pending: Arc<PendingFrame>,
    is_complete: bool,
}

impl Drop for FrameEnd {
    fn drop(&mut self) {
        // From here on the loop may append to these topics itself again.
        drop(self.admitted.take());
        if !self.is_complete {
            self.pending.expect();
            self.pending.done(Code::UnknownServerError);
        }
        self.pending.release();
    }
}

impl FrameElsewhere {
    /// Queues the entries of `plan` from `first` on behind what the connection has queued; `state`
    /// and `details` are how far the frame has come. Returns the token of its event, or `state`
    /// where there is no room for them.
    pub(super) fn queue(
        frame: &Frame<'_>,
        plan: &[f64],
        first: usize,
        mut state: FrameState,
        details: &EntryDetails,
    ) -> Result<u32, FrameState> {
        let rows = || plan.chunks_exact(layout::PLAN_STRIDE).skip(first).filter_map(Row::of);
        let range = rows()
            .map(|row| row.body)
            .reduce(|all, body| all.start.min(body.start)..all.end.max(body.end));
        // A body outside its frame is found out when its turn comes.
        let frame_bytes = frame.bytes.len();
        let range = range.map_or(0..0, |range| range.start..range.end.min(frame_bytes));
        let bytes_start = range.start;
        let bytes = frame.bytes.get(range).unwrap_or_default();
        let held = bytes.len() + size_of_val(plan) + details.bytes();
        let topics = rows().map(|row| row.topic).collect();
        let channel = frame.channel;
        let Some(admitted) = channel.elsewhere.admit(frame.connection, held as u64, topics) else {
            return Err(state);
        };
        let pending = state.pending.take().unwrap_or_else(|| PendingFrame::new(channel));
        let token = pending.token();
        state.leave_loop(frame_bytes);
        state.pending = Some(Arc::clone(&pending));
        let job = Self {
            store: Arc::clone(frame.store),
            channel: Arc::clone(channel),
            bytes: bytes.to_vec(),
            bytes_start,
            ack: frame.ack,
            producer: frame.producer,
            connection: frame.connection,
            plan: plan.to_vec(),
            next: first,
            scratch: ProduceScratch::with_details(details.clone()),
            state,
            end: FrameEnd { admitted: Some(admitted), pending, is_complete: false },
        };
        channel.long_work.spawn(Owner(frame.connection), Box::new(job));
        Ok(token)
    }

    /// Appends the next entry that is not refused already; whether there was one.
    fn append_next(&mut self) -> bool {
        let frame = Frame {
            store: &self.store,
            channel: &self.channel,
            bytes: &self.bytes,
            bytes_start: self.bytes_start,
            ack: self.ack,
            producer: self.producer,
            connection: self.connection,
        };
        let rows = self.plan.chunks_exact_mut(layout::PLAN_STRIDE).enumerate().skip(self.next);
        for (index, row) in rows {
            self.next = index + 1;
            if Row::of(row).is_some() {
                FrameWork::elsewhere(&frame, &mut self.state).append_row(
                    &mut self.scratch,
                    index,
                    row,
                );
                return true;
            }
        }
        false
    }

    fn refuse_rest(&mut self) {
        for row in self.plan.chunks_exact_mut(layout::PLAN_STRIDE).skip(self.next) {
            refuse(row, Code::ShuttingDown);
        }
    }

    fn complete(&mut self) {
        let appended = AppendedFrame {
            plan: std::mem::take(&mut self.plan),
            details: self.scratch.take_details(),
            reached: self.state.reached(self.ack),
        };
        self.channel.keep_appended(self.end.pending.token(), appended);
        self.end.is_complete = true;
    }
}

impl Job for FrameElsewhere {
    fn step(&mut self) -> Step {
        let clock: Arc<dyn Clock> = Arc::clone(&self.store.shared().env.clock);
        let started_ns = clock.monotonic_ns();
        if self.channel.is_finishing() {
            self.refuse_rest();
        }
        let is_done = !self.append_next() || self.next * layout::PLAN_STRIDE >= self.plan.len();
        if is_done {
            self.complete();
        }
        Step { cost_ns: clock.monotonic_ns().saturating_sub(started_ns), is_done }
    }
}

/// What a row of the plan says about where its entry lies and goes, unless it is refused already.
struct Row {
    topic: u32,
    body: Range<usize>,
}

impl Row {
    fn of(row: &[f64]) -> Option<Self> {
        let field = |index: usize| row.get(index).copied().unwrap_or(0.0);
        if field(layout::PLAN_CODE) != 0.0 {
            return None;
        }
        let start = field(layout::PLAN_BODY_START) as usize;
        let bytes = field(layout::PLAN_BODY_BYTES) as usize;
        let topic = field(layout::PLAN_TOPIC_HANDLE) as u32;
        Some(Self { topic, body: start..start.saturating_add(bytes) })
    }
}
