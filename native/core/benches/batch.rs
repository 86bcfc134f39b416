//! Records a second and bytes a second of the hot loops, on one core.
//!
//! `cargo bench -p millrace-core --bench batch`. Every figure is the best of several rounds over
//! the same batch in the cache: what the code takes, not what memory adds.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock, prints to its terminal and ends at the first error"
)]

use std::{hint::black_box, iter, time::Instant};

use millrace_core::{
    batch::{
        BatchBuilder, BatchHeader, Finish, HEADER_BYTES, Records, Rules, TimestampRule, validate,
    },
    compression::Codec,
    messagepack::{
        BuildOptions, DeliveryRequest, Format, Splitter, build_batch, decode_envelope, deliver,
    },
};

const NOW_MS: i64 = 1_700_000_000_000;
const RECORDS: u32 = 1_000;
const ROUNDS: u32 = 15;
const REPEATS: u32 = 100;

fn main() {
    for value_bytes in [100, 1_024] {
        println!("values of {value_bytes} bytes, {RECORDS} records a batch");
        batches(value_bytes);
        frames(value_bytes);
    }
}

fn options(codec: Codec) -> BuildOptions {
    let timestamp = TimestampRule::CreateTime {
        now_ms: NOW_MS,
        before_ms_max: i64::MAX,
        after_ms_max: 3_600_000,
    };
    let rules = Rules { bytes_max: 8_388_608, compacted: false, timestamp };
    BuildOptions { codec, level: None, rules, producer: None }
}

fn value_of(bytes: usize) -> Vec<u8> {
    let text = b"{\"level\":\"info\",\"service\":\"orders\",\"message\":\"order accepted\",\"id\":";
    text.iter().copied().cycle().take(bytes).collect()
}

fn batches(value_bytes: usize) {
    let value = value_of(value_bytes);
    let mut output = Vec::new();
    for codec in Codec::ALL {
        measure(&format!("build and checksum, {}", codec.name()), value_bytes, || {
            output.clear();
            let mut builder = BatchBuilder::new(&mut output, codec, None);
            for index in 0..i64::from(RECORDS) {
                builder.push(NOW_MS + index, None, Some(&value), iter::empty()).unwrap();
            }
            builder.finish(Finish::default()).unwrap();
            black_box(&output);
        });
        let rules = options(codec).rules;
        measure(&format!("validate, {}", codec.name()), value_bytes, || {
            black_box(validate(black_box(&output), &rules).unwrap());
        });
        if codec == Codec::None {
            let header = BatchHeader::read(&output).unwrap();
            measure("checksum alone", value_bytes, || {
                black_box(&header).verify_crc(black_box(&output)).unwrap();
            });
            let (_, section) = output.split_at(HEADER_BYTES);
            measure("iterate", value_bytes, || {
                for record in Records::new(black_box(section), header.record_count) {
                    black_box(record.unwrap());
                }
            });
        }
    }
}

fn frames(value_bytes: usize) {
    let frame = frame_of(&value_of(value_bytes));
    let mut entries = Vec::new();
    measure("take a frame apart", value_bytes, || {
        black_box(decode_envelope(black_box(&frame), &mut entries).unwrap());
    });
    let body = frame.get(entries.first().unwrap().body.clone()).unwrap();
    let options = options(Codec::None);
    let mut output = Vec::new();
    measure("build a batch from a frame", value_bytes, || {
        output.clear();
        build_batch(black_box(body), Format::Bytes, &options, &mut output).unwrap();
    });
    let batch = output.clone();
    let mut splitter = Splitter::default();
    measure("split a frame over 8 partitions", value_bytes, || {
        output.clear();
        let parts = splitter.split(black_box(body), Format::Bytes, 8, 0, &options, &mut output);
        black_box(parts.unwrap());
    });
    let end_offset = i64::from(RECORDS);
    let request = DeliveryRequest {
        subscription: 1,
        from_offset: 0,
        end_offset,
        high_watermark: end_offset,
        records_max: u32::MAX,
        bytes_max: usize::MAX,
    };
    measure("deliver", value_bytes, || {
        output.clear();
        black_box(deliver(black_box(&batch), &request, &mut output).unwrap());
    });
}

/// A produce frame of one entry; every record has a key of 8 bytes.
fn frame_of(value: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x94, 3, 1, 0xc0, 0x91, 0x95, 1, 0, 0xff, 0];
    rmp::encode::write_array_len(&mut frame, RECORDS).unwrap();
    for index in 0..RECORDS {
        rmp::encode::write_array_len(&mut frame, 2).unwrap();
        rmp::encode::write_bin(&mut frame, value).unwrap();
        rmp::encode::write_bin(&mut frame, &u64::from(index).to_be_bytes()).unwrap();
    }
    frame
}

fn measure(name: &str, value_bytes: usize, mut work: impl FnMut()) {
    let mut best_seconds = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..REPEATS {
            work();
        }
        best_seconds = best_seconds.min(start.elapsed().as_secs_f64() / f64::from(REPEATS));
    }
    let records = f64::from(RECORDS) / best_seconds;
    let gigabytes = records * value_bytes as f64 / 1e9;
    println!("  {name:32} {:8.1} M records/s {gigabytes:8.2} GB/s", records / 1e6);
}
