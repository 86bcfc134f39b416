//! Produce frames through a store: what an event loop sees.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Duration,
};

use millrace_core::{
    compression::Codec,
    env::Env,
    layout,
    log::config::LogConfig,
    registry::{
        Store, StoreOptions, TopicSpec,
        channel::Channel,
        deliver::{Outcome, ReadRequest},
        produce::{ACK_WRITTEN, Frame, Outcome as Appended, ProduceScratch, ProducerIdentity},
    },
};

/// One event loop: a channel that is drained when it wakes.
struct Loop {
    store: Arc<Store>,
    channel: Arc<Channel>,
    woken: mpsc::Receiver<()>,
    scratch: ProduceScratch,
    plan: Vec<f64>,
    topic: u32,
}

impl Loop {
    fn open(config: LogConfig, partitions: u32) -> Self {
        let options = StoreOptions {
            data_directory: PathBuf::from("/data"),
            flush_threads_max: 2,
            descriptors_max: NonZeroUsize::new(64).unwrap(),
        };
        let store = Store::open(Env::memory(None), options).unwrap();
        let spec = TopicSpec {
            name: "orders".to_owned(),
            topic_id: uuid::Uuid::from_u128(7),
            partitions,
            config,
            is_existing: false,
        };
        let topic = store.open_topics(&[spec]).unwrap()[0];
        let (wake, woken) = mpsc::channel();
        let channel = Channel::new(Box::new(move || {
            // Nobody listens any more when the test is over.
            let _ = wake.send(());
        }));
        let plan = vec![0.0; 16 * layout::PLAN_STRIDE];
        Self { store, channel, woken, scratch: ProduceScratch::default(), plan, topic }
    }

    /// Appends one entry of `values`, each with its key, and says how it went.
    fn produce(&mut self, partition: i32, ack: Option<u8>, values: &[(&str, Vec<u8>)]) -> Appended {
        let frame = frame(partition, values);
        let (_, count) = self.scratch.decode(&frame, &mut self.plan).unwrap();
        self.plan[layout::PLAN_TOPIC_HANDLE] = f64::from(self.topic);
        let producer = Some(ProducerIdentity { id: -1, epoch: -1 });
        let frame =
            Frame { store: &self.store, channel: &self.channel, bytes: &frame, ack, producer };
        self.scratch.append(&frame, &mut self.plan, count)
    }

    /// Waits for the event of `token` and returns its code.
    fn wait(&self, token: u32) -> f64 {
        let mut events = [0.0; layout::EVENT_STRIDE];
        loop {
            while self.channel.drain_into(&mut events) > 0 {
                if events[0] == layout::EVENT_TOKEN as f64 && events[1] == f64::from(token) {
                    return events[2];
                }
            }
            self.woken.recv_timeout(Duration::from_secs(10)).expect("the token's event never came");
        }
    }

    /// Number of records that can be read from a partition, and the frames that hold them.
    fn read_all(&self, partition: u32) -> (u64, Vec<u8>) {
        let mut request = ReadRequest {
            topic: self.topic,
            partition,
            offset: 0,
            subscription: 1,
            records_max: u32::MAX,
            bytes_max: 1 << 20,
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
    let rows = this.scratch.spreads().chunks(layout::SPREAD_STRIDE);
    let spread: f64 = rows.map(|row| row[layout::SPREAD_RECORD_COUNT]).sum();
    let total: u64 = (0..3).map(|partition| this.read_all(partition).0).sum();
    assert_eq!(total, 4);
    assert!(spread == 4.0 || this.plan[layout::PLAN_SPREAD] == 0.0);
    for (key, value) in &values {
        let partition = millrace_core::batch::murmur2::partition_for_key(key.as_bytes(), 3);
        position_of(&this.read_all(partition).1, value);
    }
}
