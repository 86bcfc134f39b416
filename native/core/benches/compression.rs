//! What the codecs make of a batch of log lines, and how fast, on one core.
//!
//! `cargo bench -p millrace-core --bench compression`. Rates are bytes of records, not of what they
//! are compressed to; each is the best of several rounds over the same batch in the cache.
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock, prints to its terminal and ends at the first error"
)]

use std::{hint::black_box, iter, time::Instant};

use millrace_core::{
    batch::{BatchBuilder, Finish, HEADER_BYTES},
    compression::{Codec, compress, decompress},
};

const ROUNDS: u32 = 7;
const BATCH_BYTES: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];
/// Codecs with the levels of which the configuration speaks; `None` is the default.
const CASES: [(Codec, Option<i32>); 10] = [
    (Codec::Snappy, None),
    (Codec::Lz4, None),
    (Codec::Zstd, Some(1)),
    (Codec::Zstd, Some(3)),
    (Codec::Zstd, Some(9)),
    (Codec::Zstd, Some(19)),
    (Codec::Gzip, Some(1)),
    (Codec::Gzip, None),
    (Codec::Gzip, Some(9)),
    (Codec::None, None),
];

fn main() {
    for bytes in BATCH_BYTES {
        let records = section(bytes);
        println!("log lines, batches of {} KiB", bytes >> 10);
        println!("  {:10} {:>5} {:>6} {:>10} {:>10}", "codec", "level", "ratio", "MB/s in", "out");
        for (codec, level) in CASES {
            row(codec, level, &records);
        }
    }
}

fn row(codec: Codec, level: Option<i32>, records: &[u8]) {
    let mut compressed = Vec::new();
    let packing = rate(records.len(), || {
        compressed.clear();
        compress(codec, level, black_box(records), &mut compressed).unwrap();
    });
    let (mut expanded, bytes_max) = (Vec::new(), records.len() as u64);
    let unpacking = rate(records.len(), || {
        expanded.clear();
        decompress(codec, black_box(&compressed), bytes_max, &mut expanded).unwrap();
    });
    assert_eq!(expanded, records);
    let ratio = records.len() as f64 / compressed.len() as f64;
    let level = level.map_or_else(|| "-".to_owned(), |level| level.to_string());
    println!("  {:10} {level:>5} {ratio:6.2} {packing:10.0} {unpacking:10.0}", codec.name());
}

/// Megabytes a second.
fn rate(bytes: usize, mut work: impl FnMut()) -> f64 {
    let mut best_seconds = f64::INFINITY;
    let repeats = (4 << 20) / bytes + 1;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..repeats {
            work();
        }
        best_seconds = best_seconds.min(start.elapsed().as_secs_f64() / repeats as f64);
    }
    bytes as f64 / best_seconds / 1e6
}

/// The records section of a batch of JSON log lines, about 200 bytes each, of which about a third
/// is never the same.
fn section(bytes: usize) -> Vec<u8> {
    const LEVELS: [&str; 4] = ["info", "info", "warn", "debug"];
    const SERVICES: [&str; 5] = ["checkout", "inventory", "payments", "search", "accounts"];
    const MESSAGES: [&str; 4] = [
        "request served",
        "order accepted",
        "item reserved for a customer",
        "upstream answered late, tried again",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: u64| {
        // Xorshift: the same lines in every run.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut batch = Vec::new();
    let mut builder = BatchBuilder::new(&mut batch, Codec::None, None);
    let (mut written, mut time_ms) = (0, 1_700_000_000_000_i64);
    while written < bytes {
        time_ms += draw(40) as i64;
        let line = format!(
            "{{\"time\":{time_ms},\"level\":\"{}\",\"service\":\"{}\",\"msg\":\"{}\",\
             \"trace\":\"{:016x}\",\"user\":{},\"path\":\"/v1/orders/{}\",\"status\":{},\
             \"ms\":{}.{}}}",
            LEVELS[draw(4) as usize],
            SERVICES[draw(5) as usize],
            MESSAGES[draw(4) as usize],
            draw(u64::MAX),
            draw(100_000),
            draw(1_000_000),
            [200, 200, 200, 404][draw(4) as usize],
            draw(900),
            draw(10),
        );
        written += line.len();
        builder.push(time_ms, None, Some(line.as_bytes()), iter::empty()).unwrap();
    }
    builder.finish(Finish::default()).unwrap();
    batch.split_off(HEADER_BYTES)
}
