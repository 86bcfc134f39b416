//! Produce frames through a store: what an event loop sees.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod stopped_clock;

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Duration,
};

use millrace_core::{
    batch::{BatchBuilder, BatchHeader, Finish},
    compression::Codec,
    env::Env,
    error::Code,
    layout, limits,
    log::config::LogConfig,
    registry::{
        Store, StoreOptions, TopicSpec,
        channel::Channel,
        deliver::{Outcome, ReadRequest},
        produce::{
            ACK_NONE, ACK_WRITTEN, Frame, Outcome as Appended, ProduceScratch, ProducerIdentity,
        },
    },
};
use stopped_clock::StoppedClock;

/// How long an event is waited for: only one that never comes takes as long.
const EVENT_WAIT_MAX: Duration = Duration::from_secs(60);

/// One event loop: a channel that is drained when it wakes.
struct Loop {
    store: Arc<Store>,
    channel: Arc<Channel>,
    woken: mpsc::Receiver<()>,
    scratch: ProduceScratch,
    plan: Vec<f64>,
    topic: u32,
    /// Whose frames are appended.
    connection: u64,
}

impl Loop {
    fn open(config: LogConfig, partitions: u32) -> Self {
        Self::with_threads(1, config, partitions)
    }

    fn with_threads(threads: usize, config: LogConfig, partitions: u32) -> Self {
        Self::open_in(Env::memory(None), threads, config, partitions)
    }

    /// With a store that does nothing by itself: its time stands still.
    fn at_rest(config: LogConfig, partitions: u32) -> Self {
        let env = Env { clock: Arc::new(StoppedClock), ..Env::memory(None) };
        Self::open_in(env, 1, config, partitions)
    }

    fn open_in(env: Env, threads: usize, config: LogConfig, partitions: u32) -> Self {
        let options = StoreOptions {
            data_directory: PathBuf::from("/data"),
            flush_threads_max: 2,
            descriptors_max: NonZeroUsize::new(64).unwrap(),
            journal: None,
        };
        let store = Store::open(env, options).unwrap();
        let spec = TopicSpec {
            name: "orders".to_owned(),
            topic_id: uuid::Uuid::from_u128(7),
            partitions,
            config,
            is_existing: false,
        };
        let topic = store.open_topics(&[spec]).unwrap()[0];
        let (wake, woken) = mpsc::channel();
        let wake = Box::new(move || {
            // Nobody listens any more when the test is over.
            let _ = wake.send(());
        });
        let channel = Channel::new(threads, wake);
        let plan = vec![0.0; 16 * layout::PLAN_STRIDE];
        let scratch = ProduceScratch::default();
        Self { store, channel, woken, scratch, plan, topic, connection: 1 }
    }

    /// Appends one entry of `values`, each with its key, and says how it went.
    fn produce(&mut self, partition: i32, ack: Option<u8>, values: &[(&str, Vec<u8>)]) -> Appended {
        self.append(&frame(partition, values), ack)
    }

    /// Appends a frame and says how it went.
    fn append(&mut self, frame: &[u8], ack: Option<u8>) -> Appended {
        let (_, count) = self.scratch.decode(frame, &mut self.plan).unwrap();
        for row in self.plan.chunks_exact_mut(layout::PLAN_STRIDE).take(count) {
            row[layout::PLAN_TOPIC_HANDLE] = f64::from(self.topic);
        }
        let producer = Some(ProducerIdentity { id: -1, epoch: -1 });
        let frame = Frame {
            store: &self.store,
            channel: &self.channel,
            bytes: frame,
            bytes_start: 0,
            ack,
            producer,
            connection: self.connection,
        };
        self.scratch.append(&frame, &mut self.plan, count)
    }

    /// Waits for the event of `token` and returns its code.
    fn wait(&self, token: u32) -> f64 {
        loop {
            if let Some(code) = self.code_of(token) {
                return code;
            }
            self.woken.recv_timeout(EVENT_WAIT_MAX).expect("the token's event never came");
        }
    }

    /// As [`wait`](Self::wait), but does what the threads would, of which there are none.
    fn step_until(&self, token: u32) -> f64 {
        loop {
            if let Some(code) = self.code_of(token) {
                return code;
            }
            assert!(
                self.channel.step(),
                "nothing is left to do, and the token's event has not come"
            );
        }
    }

    /// The code of `token` if its event has come; those of others are passed over.
    fn code_of(&self, token: u32) -> Option<f64> {
        let mut events = [0.0; layout::EVENT_STRIDE];
        while self.channel.drain_into(&mut events) > 0 {
            if events[0] == layout::EVENT_TOKEN as f64 && events[1] == f64::from(token) {
                return Some(events[2]);
            }
        }
        None
    }

    /// The codecs of the batches of partition 0, as they are stored.
    fn stored_codecs(&self) -> Vec<Codec> {
        let mut request = ReadRequest {
            topic: self.topic,
            partition: 0,
            offset: 0,
            subscription: 1,
            records_max: u32::MAX,
            bytes_max: 1 << 20,
            connection: self.connection,
        };
        let mut codecs = Vec::new();
        loop {
            match self.store.read_batches(&self.channel, &request).unwrap() {
                Outcome::Batches(batches) => {
                    let mut rest = batches.bytes();
                    while !rest.is_empty() {
                        let header = BatchHeader::read(rest).unwrap();
                        header.verify_crc(rest).unwrap();
                        codecs.push(header.attributes.codec().unwrap());
                        rest = &rest[header.batch_bytes()..];
                    }
                    request.offset = batches.next_offset;
                }
                Outcome::Loading { token } => assert_eq!(self.wait(token), 0.0),
                Outcome::AtEnd { .. } => return codecs,
                _ => panic!("the log has no gaps and the offset is in range"),
            }
        }
    }

    /// Number of records that can be read from a partition, and the frames that hold them.
    fn read_all(&self, partition: u32) -> (u64, Vec<u8>) {
        self.read_by(partition, u32::MAX)
    }

    /// As [`read_all`](Self::read_all), but at most so many records at a time.
    fn read_by(&self, partition: u32, records_max: u32) -> (u64, Vec<u8>) {
        let mut request = ReadRequest {
            topic: self.topic,
            partition,
            offset: 0,
            subscription: 1,
            records_max,
            bytes_max: 1 << 20,
            connection: self.connection,
        };
        let (mut count, mut frames) = (0, Vec::new());
        loop {
            match self.store.read_records(&self.channel, &request, &mut frames).unwrap() {
                Outcome::Records { records, next_offset, .. } => {
                    count += u64::from(records);
                    request.offset = next_offset;
                }
                Outcome::Loading { token } => assert_eq!(self.wait(token), 0.0),
                Outcome::AtEnd { .. } => return (count, frames),
                _ => panic!("the log has no gaps and the offset is in range"),
            }
        }
    }
}

fn frame(partition: i32, values: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut frame = Vec::new();
    let out = &mut frame;
    rmp::encode::write_array_len(out, 4).unwrap();
    rmp::encode::write_uint(out, 3).unwrap();
    rmp::encode::write_uint(out, 1).unwrap();
    rmp::encode::write_nil(out).unwrap();
    rmp::encode::write_array_len(out, 1).unwrap();
    rmp::encode::write_array_len(out, 5).unwrap();
    rmp::encode::write_str(out, "orders").unwrap();
    rmp::encode::write_sint(out, i64::from(partition)).unwrap();
    rmp::encode::write_sint(out, -1).unwrap();
    rmp::encode::write_uint(out, 0).unwrap();
    rmp::encode::write_array_len(out, u32::try_from(values.len()).unwrap()).unwrap();
    for (key, value) in values {
        rmp::encode::write_array_len(out, 2).unwrap();
        rmp::encode::write_bin(out, value).unwrap();
        rmp::encode::write_bin(out, key.as_bytes()).unwrap();
    }
    frame
}

/// A frame of ready batches.
fn frame_of_batches(batches: &[&[u8]]) -> Vec<u8> {
    let mut frame = Vec::new();
    let out = &mut frame;
    rmp::encode::write_array_len(out, 4).unwrap();
    rmp::encode::write_uint(out, 3).unwrap();
    rmp::encode::write_uint(out, 1).unwrap();
    rmp::encode::write_nil(out).unwrap();
    rmp::encode::write_array_len(out, u32::try_from(batches.len()).unwrap()).unwrap();
    for batch in batches {
        rmp::encode::write_array_len(out, 5).unwrap();
        rmp::encode::write_str(out, "orders").unwrap();
        rmp::encode::write_uint(out, 0).unwrap();
        rmp::encode::write_sint(out, -1).unwrap();
        rmp::encode::write_uint(out, 2).unwrap();
        rmp::encode::write_bin(out, batch).unwrap();
    }
    frame
}

/// A small batch of one record that expands to `bytes`.
fn expanding_batch(bytes: usize) -> Vec<u8> {
    let mut batch = Vec::new();
    let mut builder = BatchBuilder::new(&mut batch, Codec::Zstd, None);
    builder.push(1, None, Some(&vec![0; bytes]), std::iter::empty()).unwrap();
    builder.finish(Finish::default()).unwrap();
    batch
}

fn position_of(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).position(|window| window == needle).expect("it was delivered")
}

#[test]
fn an_ack_of_the_default_promise_comes_after_the_flush_and_then_the_record_is_visible() {
    let mut this = Loop::open(LogConfig::default(), 1);
    let appended = this.produce(0, None, &[("k", b"value".to_vec())]);
    assert_ne!(appended.token, 0);
    assert_eq!(appended.reached, 2);
    assert_eq!(this.wait(appended.token), 0.0);
    let offsets = this.store.offsets(this.topic, 0).unwrap();
    assert_eq!((offsets.flushed, offsets.high_watermark), (1, 1));
    assert_eq!(this.read_all(0).0, 1);
}

#[test]
fn a_relaxed_topic_acks_and_shows_what_is_written() {
    let config = LogConfig { flush_messages: u64::MAX, ..LogConfig::default() };
    let mut this = Loop::open(config, 1);
    let appended = this.produce(0, None, &[("k", b"value".to_vec())]);
    assert_eq!((appended.token, appended.reached), (0, 1));
    assert_eq!(this.read_all(0).0, 1);
}

#[test]
fn work_that_leaves_the_event_loop_keeps_the_order_of_a_topic() {
    let config =
        LogConfig { flush_messages: u64::MAX, codec: Some(Codec::Zstd), ..LogConfig::default() };
    let mut this = Loop::open(config, 1);
    let mut last = None;
    for number in 0..20 {
        let padding = if number % 3 == 0 { 200_000 } else { 10 };
        let mut value = format!("record {number:02} ").into_bytes();
        value.resize(value.len() + padding, b'.');
        let appended = this.produce(0, Some(ACK_WRITTEN), &[("k", value)]);
        assert!(number != 0 || appended.is_elsewhere, "a large record is compressed elsewhere");
        last = appended.is_elsewhere.then_some(appended.token);
    }
    if let Some(token) = last {
        assert_eq!(this.wait(token), 0.0);
        let taken = this.channel.take_appended(token).expect("its results wait to be taken");
        assert_eq!(taken.plan[layout::PLAN_BASE_OFFSET], 19.0);
    }
    let (count, frames) = this.read_all(0);
    assert_eq!(count, 20);
    let places: Vec<_> =
        (0..20).map(|n| position_of(&frames, format!("record {n:02} ").as_bytes())).collect();
    assert!(places.is_sorted(), "records changed places: {places:?}");
}

fn relaxed() -> LogConfig {
    LogConfig { flush_messages: u64::MAX, ..LogConfig::default() }
}

#[test]
fn the_batches_of_a_frame_may_expand_to_so_much_together() {
    let mut this = Loop::open(relaxed(), 1);
    let bytes = 60 << 20;
    let large = expanding_batch(bytes);
    let fits = limits::FRAME_BYTES_DECOMPRESSED_MAX as usize / bytes;
    let small = expanding_batch(10);
    let mut batches = vec![large.as_slice(); fits + 2];
    batches.push(&small);
    let appended = this.append(&frame_of_batches(&batches), Some(ACK_WRITTEN));
    assert!(appended.is_elsewhere);
    assert_eq!(this.wait(appended.token), 0.0);
    let plan = this.channel.take_appended(appended.token).expect("its results").plan;
    let codes = plan.chunks_exact(layout::PLAN_STRIDE).map(|row| row[layout::PLAN_CODE] as i16);
    let stored = codes.take(batches.len()).collect::<Vec<_>>();
    let mut expected = vec![Code::None.number(); fits];
    // What came before has used up the bound also for a batch that would fit by itself.
    expected.resize(batches.len(), Code::MessageTooLarge.number());
    assert_eq!(stored, expected);
    let appended = this.append(&frame_of_batches(&[&large, &small]), Some(ACK_WRITTEN));
    assert_eq!(this.wait(appended.token), 0.0);
    let plan = this.channel.take_appended(appended.token).expect("its results").plan;
    assert_eq!(plan[layout::PLAN_CODE], 0.0, "the next frame has its own bound");
}

#[test]
fn many_batches_that_expand_to_little_each_leave_the_loop_when_it_adds_up() {
    let mut this = Loop::open(relaxed(), 1);
    let batch = expanding_batch(100_000);
    let appended = this.append(&frame_of_batches(&[&batch]), Some(ACK_WRITTEN));
    assert!(!appended.is_elsewhere);
    let appended = this.append(&frame_of_batches(&[&batch, &batch]), Some(ACK_WRITTEN));
    assert!(appended.is_elsewhere);
    assert_eq!(this.wait(appended.token), 0.0);
    assert_eq!(this.read_all(0).0, 3);
}

#[test]
fn the_records_that_batches_are_refused_for_are_told_wherever_they_are_appended() {
    let config = LogConfig { is_compacted: true, ..LogConfig::default() };
    let mut this = Loop::open(config, 1);
    // Without keys: one by the event loop, and one that expands too far for it.
    let small = batch_of(Codec::Zstd, 2, 10);
    let large = batch_of(Codec::Zstd, 3, 100_000);
    let appended = this.append(&frame_of_batches(&[&small, &large]), None);
    assert!(appended.is_elsewhere);
    assert_eq!(this.wait(appended.token), 0.0);
    let appended = this.channel.take_appended(appended.token).unwrap();
    for row in appended.plan.chunks_exact(layout::PLAN_STRIDE).take(2) {
        assert_eq!(row[layout::PLAN_CODE], f64::from(Code::InvalidRecord.number()));
    }
    let told: Vec<_> =
        appended.details.refused.iter().map(|refused| (refused.entry, refused.index)).collect();
    assert_eq!(told, [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]);

    let many = batch_of(Codec::None, 700, 1);
    let appended = this.append(&frame_of_batches(&[&many, &many]), None);
    assert!(!appended.is_elsewhere);
    assert_eq!(this.scratch.details().refused.len() as u64, limits::REFUSED_RECORDS_MAX);
    assert!(this.append(&frame_of_batches(&[]), None).token == 0);
    assert!(this.scratch.details().refused.is_empty());
}

#[test]
fn ready_batches_get_the_codec_of_their_topic() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd, Codec::None] {
        let mut this = Loop::open(LogConfig { codec: Some(codec), ..relaxed() }, 1);
        let mut values = Vec::new();
        for from in Codec::ALL {
            // By the event loop itself, and what takes too long for it.
            for (count, value_bytes) in [(3, 20), (40, 9_000)] {
                let batch = batch_of(from, count, value_bytes);
                let appended = this.append(&frame_of_batches(&[&batch]), Some(ACK_WRITTEN));
                if value_bytes > 20 && codec != Codec::None && codec != from {
                    assert!(appended.is_elsewhere, "{from:?} to {codec:?}");
                }
                if appended.is_elsewhere {
                    assert_eq!(this.wait(appended.token), 0.0);
                    let appended = this.channel.take_appended(appended.token).unwrap();
                    assert_eq!(appended.plan[layout::PLAN_CODE], 0.0);
                } else {
                    assert_eq!(this.plan[layout::PLAN_CODE], 0.0);
                }
                values.extend((0..count).map(|number| (number, value_bytes)));
            }
        }
        assert_eq!(this.stored_codecs(), vec![codec; 10]);
        let (count, frames) = this.read_all(0);
        assert_eq!(count as usize, values.len());
        let mut from = 0;
        for (number, value_bytes) in values {
            let mut value = format!("record {number:06} ").into_bytes();
            value.resize(value_bytes, b'.');
            from += position_of(&frames[from..], &value) + value.len();
        }
    }
}

#[test]
fn frames_that_wait_elsewhere_are_bounded_and_no_connection_takes_all_the_room() {
    let config = LogConfig { codec: Some(Codec::Gzip), ..relaxed() };
    let mut this = Loop::with_threads(0, config, 1);
    let large = frame(0, &[("k", vec![0; 8_000_000])]);
    let refused = f64::from(Code::RequestTimedOut.number());
    let fill = |this: &mut Loop| {
        let mut frames = 0;
        loop {
            let appended = this.append(&large, Some(ACK_WRITTEN));
            if !appended.is_elsewhere {
                assert_eq!((appended.token, this.plan[layout::PLAN_CODE]), (0, refused));
                return frames;
            }
            frames += 1;
        }
    };
    let most = limits::ELSEWHERE_BYTES_MAX / 8_000_000;
    let first = fill(&mut this);
    assert!((most / 2 - 1..=most / 2).contains(&first), "{first} of {most} frames");
    this.connection = 2;
    let second = fill(&mut this);
    assert!((most / 4 - 1..=most / 4).contains(&second), "{second} of {most} frames");
    assert_eq!(this.channel.elsewhere().statistics().frames, first + second);
    // What waits fails with the channel's end now, instead of being compressed.
    this.store.close().expect("the store closes");
}

/// A batch of `count` records of `value_bytes` that differ.
fn batch_of(codec: Codec, count: u32, value_bytes: usize) -> Vec<u8> {
    let mut batch = Vec::new();
    let mut builder = BatchBuilder::new(&mut batch, codec, None);
    for number in 0..count {
        let mut value = format!("record {number:06} ").into_bytes();
        value.resize(value_bytes, b'.');
        builder.push(1, None, Some(&value), std::iter::empty()).unwrap();
    }
    builder.finish(Finish::default()).unwrap();
    batch
}

#[test]
fn a_batch_that_is_read_record_by_record_is_expanded_once() {
    // What is not read for some seconds is given up: on a busy machine that is soon.
    let mut this = Loop::at_rest(relaxed(), 1);
    let batch = batch_of(Codec::Zstd, 500, 100_000);
    let appended = this.append(&frame_of_batches(&[&batch]), Some(ACK_WRITTEN));
    assert_eq!(this.wait(appended.token), 0.0);
    let (count, frames) = this.read_by(0, 1);
    assert_eq!(count, 500);
    for number in [0, 1, 250, 499] {
        position_of(&frames, format!("record {number:06} ").as_bytes());
    }
    assert_eq!(this.store.shared().open_batches.expansions(), 1);
    // By other readers, too.
    this.connection = 2;
    assert_eq!(this.read_by(0, 7).0, 500);
    assert_eq!(this.store.shared().open_batches.expansions(), 1);
}

#[test]
fn records_come_in_order_whatever_a_batch_is_read_by() {
    let config = LogConfig { message_bytes_max: limits::BATCH_BYTES_MAX, ..relaxed() };
    for codec in [Codec::None, Codec::Lz4] {
        let mut this = Loop::open(config.clone(), 1);
        let batch = batch_of(codec, 20_000, 200);
        for _ in 0..2 {
            let appended = this.append(&frame_of_batches(&[&batch]), Some(ACK_WRITTEN));
            if appended.token != 0 {
                assert_eq!(this.wait(appended.token), 0.0);
            }
        }
        for records_max in [1, 3, 1_000] {
            let (count, frames) = this.read_by(0, records_max);
            assert_eq!(count, 40_000, "{codec:?} by {records_max}");
            let values: Vec<_> = frames
                .windows(14)
                .filter(|window| window.starts_with(b"record "))
                .map(|window| &window[7..13])
                .collect();
            assert_eq!(values.len(), 40_000);
            assert!(values[..20_000].is_sorted() && values[..20_000] == values[20_000..]);
        }
    }
}

#[test]
fn what_is_queued_at_the_end_is_refused_instead_of_done() {
    let bomb = expanding_batch(60 << 20);
    for threads in [0, 1] {
        let mut this = Loop::with_threads(threads, relaxed(), 1);
        let tokens: Vec<_> = (0..20)
            .map(|_| this.append(&frame_of_batches(&[&bomb]), Some(ACK_WRITTEN)).token)
            .collect();
        this.channel.finish();
        let codes = tokens.iter().map(|token| {
            let taken = this.channel.take_appended(*token).expect("its results wait to be taken");
            taken.plan[layout::PLAN_CODE]
        });
        let refused = f64::from(Code::ShuttingDown.number());
        let codes: Vec<_> = codes.collect();
        assert!(codes.is_sorted_by_key(|code| *code == refused), "{codes:?}");
        // How many a thread has done by then is up to the machine.
        assert!(threads > 0 || codes.iter().all(|code| *code == refused), "{codes:?}");
        assert_eq!(this.channel.elsewhere().statistics().frames, 0);
        let appended = this.append(&frame_of_batches(&[&bomb]), Some(ACK_WRITTEN));
        assert!(appended.is_elsewhere);
        let taken = this.channel.take_appended(appended.token).expect("done at once by the caller");
        assert_eq!(taken.plan[layout::PLAN_CODE], refused);
    }
}

#[test]
fn other_connections_go_on_beside_one_that_keeps_the_threads_busy() {
    // Step by step, so that it is not up to the machine who is next.
    let mut this = Loop::with_threads(0, relaxed(), 1);
    let bomb = expanding_batch(60 << 20);
    let bombs = frame_of_batches(&[&bomb, &bomb]);
    let mut last = 0;
    for _ in 0..8 {
        last = this.append(&bombs, Some(ACK_NONE)).token;
    }
    this.connection = 2;
    let batch = expanding_batch(1 << 20);
    for _ in 0..4 {
        let appended = this.append(&frame_of_batches(&[&batch]), Some(ACK_WRITTEN));
        assert!(appended.is_elsewhere);
        assert_eq!(this.step_until(appended.token), 0.0);
    }
    let left = this.channel.elsewhere().statistics().frames;
    assert!(left >= 2, "{left} of 8 frames of the other connection are left");
    assert_eq!(this.step_until(last), 0.0);
}

#[test]
fn keys_spread_an_entry_over_partitions_as_kafkas_clients_do() {
    let mut this = Loop::open(LogConfig::default(), 3);
    let values: Vec<_> = ["21", "foobar", "a-little-bit-long-string", "abc"]
        .into_iter()
        .map(|key| (key, key.as_bytes().to_vec()))
        .collect();
    let appended = this.produce(-1, None, &values);
    assert_eq!(this.wait(appended.token), 0.0);
    assert_eq!(this.plan[layout::PLAN_CODE], 0.0);
    let rows = this.scratch.details().spreads.chunks(layout::SPREAD_STRIDE);
    let spread: f64 = rows.map(|row| row[layout::SPREAD_RECORD_COUNT]).sum();
    let total: u64 = (0..3).map(|partition| this.read_all(partition).0).sum();
    assert_eq!(total, 4);
    assert!(spread == 4.0 || this.plan[layout::PLAN_SPREAD] == 0.0);
    for (key, value) in &values {
        let partition = millrace_core::batch::murmur2::partition_for_key(key.as_bytes(), 3);
        position_of(&this.read_all(partition).1, value);
    }
}
