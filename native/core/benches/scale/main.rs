//! What many partitions and segments cost on one disk, at a start and afterwards.
//!
//! ```text
//! cargo bench -p millrace-core --bench scale -- make DIR PARTITIONS SEGMENTS [killed]
//! cargo bench -p millrace-core --bench scale -- open DIR [leave]
//! cargo bench -p millrace-core --bench scale -- acks DIR ACTIVE APPENDS_PER_SECOND SECONDS
//! cargo bench -p millrace-core --bench scale -- strategies DIR
//! ```
//! `make` fills a directory through the core itself, without syncing, and ends as a clean stop does
//! or as `kill -9`. `open` times a start, tells its calls and what stays in memory, and stops
//! cleanly unless it is to leave everything as a kill would. `acks` appends at a steady rate to
//! `ACTIVE` partitions of flushed topics and tells how long acks take. `strategies` compares
//! ways to sync a group of files, outside of the engine.
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock, prints to its terminal and ends at the first error"
)]

mod acks;
mod counted;
mod machine;
mod strategies;

use std::{
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use counted::{Calls, CountedFileSystem};
use machine::{Usage, device_bytes_written, drop_page_cache};
use millrace_core::{
    batch::{BatchBuilder, Finish},
    compression::Codec,
    env::{Env, ProcessLimits, SystemClock, SystemRandom},
    journal::JournalOptions,
    log::config::LogConfig,
    registry::{Store, StoreOptions, TopicSpec},
};
use uuid::Uuid;

/// Partitions of a topic, so that neither topics nor partitions alone make the number.
const PARTITIONS_PER_TOPIC: u32 = 100;
const SEGMENT_BYTES: u64 = 4096;
const VALUE_BYTES: usize = 1024;
const NOW_MS: i64 = 1_700_000_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|one| one != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["make", directory, partitions, segments, rest @ ..] => make(
            Path::new(directory),
            partitions.parse().unwrap(),
            segments.parse().unwrap(),
            rest.contains(&"killed"),
        ),
        ["open", directory, rest @ ..] => open(Path::new(directory), rest.contains(&"leave")),
        ["acks", directory, active, rate, seconds] => acks::measure(
            Path::new(directory),
            active.parse().unwrap(),
            rate.parse().unwrap(),
            seconds.parse().unwrap(),
        ),
        ["strategies", directory] => strategies::compare(Path::new(directory)),
        // `cargo test` and `cargo bench` without arguments run every benchmark: a tiny round.
        _ => {
            let directory = tempfile::tempdir().unwrap();
            make(directory.path(), 20, 3, false);
            open(directory.path(), false);
            open(directory.path(), false);
        }
    }
}

fn env(syncs: bool) -> (Env, Arc<Calls>) {
    let calls = Arc::<Calls>::default();
    let files = CountedFileSystem { calls: Arc::clone(&calls), syncs };
    let env = Env {
        files: Arc::new(files),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        limits: ProcessLimits::of_this_process(),
        controls: None,
    };
    (env, calls)
}

fn options(directory: &Path) -> StoreOptions {
    StoreOptions {
        data_directory: directory.to_owned(),
        flush_threads_max: 16,
        descriptors_max: NonZeroUsize::new(4096).unwrap(),
        journal: (std::env::var("SCALE_JOURNAL").as_deref() != Ok("off"))
            .then(JournalOptions::default),
    }
}

/// The topics of a directory with `partitions` partitions.
fn specs(partitions: u32, config: &LogConfig, is_existing: bool) -> Vec<TopicSpec> {
    let topics = partitions.div_ceil(PARTITIONS_PER_TOPIC);
    let spec = |number: u32| TopicSpec {
        name: format!("topic-{number}"),
        topic_id: Uuid::from_u128(u128::from(number) + 1),
        partitions: (partitions - number * PARTITIONS_PER_TOPIC).min(PARTITIONS_PER_TOPIC),
        config: config.clone(),
        is_existing,
    };
    (0..topics).map(spec).collect()
}

fn batch_of(value_bytes: usize) -> Vec<u8> {
    let mut batch = Vec::new();
    let mut builder = BatchBuilder::new(&mut batch, Codec::None, None);
    builder.push(NOW_MS, None, Some(&vec![7; value_bytes]), std::iter::empty()).unwrap();
    builder.finish(Finish::default()).unwrap();
    batch
}

fn make(directory: &Path, partitions: u32, segments: u32, is_killed: bool) {
    let (env, calls) = env(false);
    let store = Store::open(env, options(directory)).unwrap();
    let config = LogConfig {
        flush_messages: u64::MAX,
        segment_bytes: SEGMENT_BYTES,
        segment_ms: u64::MAX,
        ..LogConfig::default()
    };
    let start = Instant::now();
    let topics = store.open_topics(&specs(partitions, &config, false)).unwrap();
    println!("created {partitions} partitions in {:.1} s", start.elapsed().as_secs_f64());
    let batch = batch_of(VALUE_BYTES);
    let batches_per_segment = SEGMENT_BYTES / batch.len() as u64;
    for _ in 0..segments {
        for &topic in &topics {
            for partition in 0..store.topic(topic).unwrap().partition_count() {
                let log = store.log(topic, partition).unwrap();
                for _ in 0..batches_per_segment {
                    log.append(&batch, NOW_MS).unwrap();
                }
            }
        }
        store.flush().unwrap();
    }
    println!("filled in {:.1} s: {}", start.elapsed().as_secs_f64(), calls.take());
    std::fs::write(directory.join("partitions"), partitions.to_string()).unwrap();
    if is_killed {
        store.write_checkpoint().unwrap();
        std::process::Command::new("sync").status().unwrap();
        end_here(store);
    } else {
        store.close().unwrap();
        println!("closed after {:.1} s: {}", start.elapsed().as_secs_f64(), calls.take());
    }
}

/// Leaves everything as it is: nothing is flushed, closed or unlocked before the process ends.
fn end_here(store: Arc<Store>) {
    std::mem::forget(store);
}

fn open(directory: &Path, is_left: bool) {
    let partitions = std::fs::read_to_string(directory.join("partitions")).unwrap();
    let partitions = partitions.parse().unwrap();
    drop_page_cache();
    let (env, calls) = env(true);
    let before = Usage::now();
    let start = Instant::now();
    let store = Store::open(env, options(directory)).unwrap();
    let opened = start.elapsed();
    println!("data directory: {:.0} ms ({})", milliseconds(opened), calls.take());
    let config =
        LogConfig { flush_messages: u64::MAX, segment_ms: u64::MAX, ..LogConfig::default() };
    let topics = store.open_topics(&specs(partitions, &config, true)).unwrap();
    let usage = Usage::now().since(&before);
    let elapsed = start.elapsed() - opened;
    println!("{partitions} partitions: {:.0} ms, {usage}", milliseconds(elapsed));
    println!("  calls: {}", calls.take());
    let per_partition = usage.anonymous_bytes / u64::from(partitions);
    println!("  anonymous memory a partition: {per_partition} bytes");
    for entry in store.take_report().iter().take(3) {
        println!("  recovery: {entry}");
    }
    let idle_from = Usage::now();
    std::thread::sleep(Duration::from_secs(5));
    println!("idle for 5 s: {}; {}", Usage::now().since(&idle_from), calls.take());
    let batch = batch_of(VALUE_BYTES);
    let (written_from, device_from) = (Usage::now(), device_bytes_written());
    for _ in 0..50 {
        store.log(topics[0], 0).unwrap().append(&batch, NOW_MS).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
    let device_bytes = device_bytes_written() - device_from;
    let usage = Usage::now().since(&written_from);
    println!("one busy for 5 s: {usage}, device {} KiB; {}", device_bytes >> 10, calls.take());
    let one_each_from = Usage::now();
    for &topic in &topics {
        for partition in 0..store.topic(topic).unwrap().partition_count() {
            store.log(topic, partition).unwrap().append(&batch, NOW_MS).unwrap();
        }
    }
    store.flush().unwrap();
    let usage = Usage::now().since(&one_each_from);
    println!("one record to each: {usage}; {}", calls.take());
    if is_left {
        end_here(store);
    } else {
        let stop = Instant::now();
        store.close().unwrap();
        println!("clean stop: {:.0} ms; {}", milliseconds(stop.elapsed()), calls.take());
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
