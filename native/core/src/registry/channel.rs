//! Events for one event loop.
//!
//! Any thread posts; the loop is woken once and then drains everything that came until then, so
//! that a group commit costs one crossing however many acks it completes.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI16, AtomicU32, Ordering},
    },
};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::{
    deliveries::Deliveries,
    elsewhere::{AppendedFrame, FramesElsewhere},
};
use crate::{
    error::Code,
    flush::fair::FairPool,
    layout,
    log::waiters::{Acknowledge, Watch},
};

/// An event as the loop gets it: kind, then two numbers whose meaning the kind tells.
pub type Event = [f64; layout::EVENT_STRIDE];

/// `[EVENT_TOKEN, token, code]`: what the token stands for is done (code 0) or failed.
const EVENT_TOKEN: f64 = layout::EVENT_TOKEN as f64;
/// `[EVENT_VISIBLE, topic, partition]`: a watched high watermark has passed the offset asked for.
const EVENT_VISIBLE: f64 = layout::EVENT_VISIBLE as f64;
/// `[EVENT_UNMAP, topic, 0]`: the topic is gone, or segments of it: its windows are to be given up.
pub(super) const EVENT_UNMAP: f64 = layout::EVENT_UNMAP as f64;

/// Threads for the long work of one event loop at most, where there are processors for them.
const LONG_WORK_THREADS_MAX: usize = 4;

/// Threads for the long work of an event loop: half of the processors, so that the loops keep up
/// with their connections whatever these ask for.
pub fn long_work_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    (processors / 2).clamp(1, LONG_WORK_THREADS_MAX)
}

/// The events of one event loop.
pub struct Channel {
    events: Mutex<Vec<Event>>,
    is_closed: AtomicBool,
    is_woken: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
    token: AtomicU32,
    /// Threads for work that would hold the loop up; the loop's connections take turns.
    pub(super) long_work: FairPool,
    pub(super) elsewhere: Arc<FramesElsewhere>,
    appended: Mutex<HashMap<u32, AppendedFrame>>,
    pub(super) deliveries: Arc<Deliveries>,
    is_finishing: AtomicBool,
}

impl Channel {
    /// A channel that calls `wake` from any thread when there is something to drain, and that has
    /// up to `threads_max` threads for work that would hold its loop up; 0 for simulations, which
    /// call [`step`](Self::step).
    pub fn new(threads_max: usize, wake: Box<dyn Fn() + Send + Sync>) -> Arc<Self> {
        Arc::new(Self {
            events: Mutex::default(),
            is_closed: AtomicBool::new(false),
            is_woken: AtomicBool::new(false),
            wake,
            token: AtomicU32::new(0),
            long_work: FairPool::new("millrace-long", threads_max),
            elsewhere: Arc::default(),
            appended: Mutex::default(),
            deliveries: Arc::default(),
            is_finishing: AtomicBool::new(false),
        })
    }

    /// Ends the long work: what is begun is done, what is queued or comes later is refused with
    /// [`Code::ShuttingDown`].
    pub fn finish(&self) {
        self.is_finishing.store(true, Ordering::Release);
        self.long_work.close();
    }

    /// Whether long work is to be refused.
    pub(super) fn is_finishing(&self) -> bool {
        self.is_finishing.load(Ordering::Acquire)
    }

    /// Ends the channel: nobody drains it any more, and what is posted is dropped.
    pub fn close(&self) {
        let mut events = self.events.lock();
        self.is_closed.store(true, Ordering::Release);
        events.clear();
    }

    /// Posts an event and wakes the loop if it is not about to drain anyway.
    pub fn post(&self, event: Event) {
        let mut events = self.events.lock();
        if self.is_closed.load(Ordering::Acquire) {
            return;
        }
        events.push(event);
        drop(events);
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            (self.wake)();
        }
    }

    /// Moves events into `numbers`, [`layout::EVENT_STRIDE`] each, oldest first, as many as fit;
    /// returns how many numbers were written. Call again until that is 0.
    pub fn drain_into(&self, numbers: &mut [f64]) -> usize {
        // Lowered first: an event posted after this line wakes the loop once more.
        self.is_woken.store(false, Ordering::Release);
        let mut events = self.events.lock();
        let count = events.len().min(numbers.len() / layout::EVENT_STRIDE);
        for (slot, event) in
            numbers.chunks_exact_mut(layout::EVENT_STRIDE).zip(events.drain(..count))
        {
            slot.copy_from_slice(&event);
        }
        count * layout::EVENT_STRIDE
    }

    /// Does one step of the work that would hold the loop up on the caller's thread; whether there
    /// was one to do.
    pub fn step(&self) -> bool {
        self.long_work.step()
    }

    /// The frames of this loop that another thread appends.
    pub fn elsewhere(&self) -> &FramesElsewhere {
        &self.elsewhere
    }

    /// A number, not 0, that is not in use by anything recent.
    pub fn next_token(&self) -> u32 {
        loop {
            let token = self.token.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            if token != 0 {
                return token;
            }
        }
    }

    /// Keeps what became of a frame until the loop takes it.
    pub(super) fn keep_appended(&self, token: u32, appended: AppendedFrame) {
        self.appended.lock().insert(token, appended);
    }

    /// Takes what became of a frame that another thread appended, once its token is done.
    pub fn take_appended(&self, token: u32) -> Option<AppendedFrame> {
        self.appended.lock().remove(&token)
    }

    /// Posts that the work behind a token is done.
    pub fn post_done(&self, token: u32, code: Code) {
        self.post([EVENT_TOKEN, f64::from(token), f64::from(code.number())]);
    }
}

/// A frame whose entries wait for flushes: posts one event when the last one is done.
pub struct PendingFrame {
    channel: Arc<Channel>,
    token: u32,
    remaining: AtomicU32,
    code: AtomicI16,
}

impl PendingFrame {
    /// A frame that is held open until [`release`](Self::release).
    pub fn new(channel: &Arc<Channel>) -> Arc<Self> {
        Arc::new(Self {
            channel: Arc::clone(channel),
            token: channel.next_token(),
            remaining: AtomicU32::new(1),
            code: AtomicI16::new(0),
        })
    }

    /// The token that its event carries.
    pub fn token(&self) -> u32 {
        self.token
    }

    /// Adds a flush to wait for; `done` is then called once.
    pub fn expect(&self) {
        self.remaining.fetch_add(1, Ordering::AcqRel);
    }

    /// Ends the building of the frame: from now on the last flush posts the event.
    pub fn release(&self) {
        self.finish_one();
    }

    fn finish_one(&self) {
        if self.remaining.fetch_sub(1, Ordering::AcqRel) == 1 {
            let code = f64::from(self.code.load(Ordering::Acquire));
            self.channel.post([EVENT_TOKEN, f64::from(self.token), code]);
        }
    }
}

impl Acknowledge for PendingFrame {
    fn done(&self, code: Code) {
        if code != Code::None {
            self.code.store(code.number(), Ordering::Release);
        }
        self.finish_one();
    }
}

/// Posts that a partition's high watermark has moved.
pub struct PartitionWatch {
    /// Where to post.
    pub channel: Arc<Channel>,
    /// The topic's number.
    pub topic: u32,
    /// The partition.
    pub partition: u32,
}

impl Watch for PartitionWatch {
    fn is_abandoned(&self) -> bool {
        self.channel.is_closed.load(Ordering::Acquire)
    }

    fn wake(&self) {
        let (topic, partition) = (f64::from(self.topic), f64::from(self.partition));
        self.channel.post([EVENT_VISIBLE, topic, partition]);
    }
}
