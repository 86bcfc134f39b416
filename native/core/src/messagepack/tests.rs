//! Frames become batches and batches become deliveries, and nothing that a client sends breaks it.

use proptest::prelude::*;
use rmp::encode;

use super::*;
use crate::{
    batch::{
        BatchBuilder, BatchHeader, Finish, HEADER_BYTES, Producer, Rules, TimestampRule, header,
        murmur2, validate,
    },
    compression::Codec,
    error::Code,
};

const NOW_MS: i64 = 1_700_000_000_000;

fn options(codec: Codec) -> BuildOptions {
    let timestamp = TimestampRule::CreateTime {
        now_ms: NOW_MS,
        before_ms_max: i64::MAX,
        after_ms_max: 3_600_000,
    };
    let rules = Rules { bytes_max: 1_048_588, compacted: false, timestamp };
    BuildOptions { codec, level: None, rules, producer: None }
}

fn request(from_offset: i64, end_offset: i64) -> DeliveryRequest {
    DeliveryRequest {
        subscription: 7,
        from_offset,
        end_offset,
        high_watermark: end_offset,
        records_max: 1_000_000,
        bytes_max: 1 << 20,
    }
}

type Pair = (String, Option<Vec<u8>>);

/// A record as tests write it down.
#[derive(Debug, Clone, PartialEq)]
struct Plain {
    value: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    timestamp_ms: i64,
    headers: Vec<Pair>,
}

fn put_binary(out: &mut Vec<u8>, content: Option<&[u8]>) {
    match content {
        Some(content) => encode::write_bin(out, content).unwrap(),
        None => encode::write_nil(out).unwrap(),
    }
}

fn body_of(records: &[Plain]) -> Vec<u8> {
    let mut out = Vec::new();
    encode::write_array_len(&mut out, records.len() as u32).unwrap();
    for record in records {
        encode::write_array_len(&mut out, 4).unwrap();
        put_binary(&mut out, record.value.as_deref());
        put_binary(&mut out, record.key.as_deref());
        encode::write_sint(&mut out, record.timestamp_ms).unwrap();
        encode::write_array_len(&mut out, record.headers.len() as u32).unwrap();
        for (name, value) in &record.headers {
            encode::write_array_len(&mut out, 2).unwrap();
            encode::write_str(&mut out, name).unwrap();
            put_binary(&mut out, value.as_deref());
        }
    }
    out
}

fn record(value: &str) -> Plain {
    Plain {
        value: Some(value.as_bytes().to_vec()),
        key: None,
        timestamp_ms: NOW_MS,
        headers: Vec::new(),
    }
}

/// A frame of one entry around `body`.
fn frame_of(body: &[u8], format: u8) -> Vec<u8> {
    let mut out = vec![0x94, 3, 42, 0xc0, 0x91, 0x95, 0xa1, b't', 0, 0xff, format];
    out.extend_from_slice(body);
    out
}

/// Reads a delivery with `rmp`: subscription, high watermark, and records with their offsets.
fn read_delivery(frame: &[u8]) -> (u32, i64, Vec<(i64, Plain)>) {
    use rmp::decode;
    let mut input = frame;
    assert_eq!(decode::read_array_len(&mut input).unwrap(), 5);
    assert_eq!(decode::read_int::<i64, _>(&mut input).unwrap(), 131);
    let subscription = decode::read_int(&mut input).unwrap();
    let base_offset: i64 = decode::read_int(&mut input).unwrap();
    let high_watermark = decode::read_int(&mut input).unwrap();
    let count = decode::read_array_len(&mut input).unwrap();
    let mut records = Vec::new();
    for _ in 0..count {
        let elements = decode::read_array_len(&mut input).unwrap();
        let delta: i64 = decode::read_int(&mut input).unwrap();
        let timestamp_ms = decode::read_int(&mut input).unwrap();
        let key = get_binary(&mut input);
        let value = get_binary(&mut input);
        let mut headers = Vec::new();
        if elements == 5 {
            for _ in 0..decode::read_array_len(&mut input).unwrap() {
                assert_eq!(decode::read_array_len(&mut input).unwrap(), 2);
                let (name, rest) = decode::read_str_from_slice(input).unwrap();
                input = rest;
                headers.push((name.to_owned(), get_binary(&mut input)));
            }
            assert!(!headers.is_empty(), "no headers, no element");
        }
        records.push((base_offset + delta, Plain { value, key, timestamp_ms, headers }));
    }
    assert!(input.is_empty(), "one whole value a frame");
    (subscription, high_watermark, records)
}

fn get_binary(input: &mut &[u8]) -> Option<Vec<u8>> {
    if input[0] == 0xc0 {
        *input = &input[1..];
        return None;
    }
    let bytes = rmp::decode::read_bin_len(input).unwrap() as usize;
    let (content, rest) = input.split_at(bytes);
    *input = rest;
    Some(content.to_vec())
}

fn delivered(batches: &[u8], request: &DeliveryRequest) -> (Delivered, Vec<(i64, Plain)>) {
    let mut out = b"before".to_vec();
    let delivered = deliver(batches, request, &mut out).unwrap();
    assert_eq!(&out[..6], b"before");
    if delivered.records == 0 {
        assert_eq!(out.len(), 6, "nothing to deliver, nothing written");
        return (delivered, Vec::new());
    }
    let (subscription, high_watermark, records) = read_delivery(&out[6..]);
    assert_eq!((subscription, high_watermark), (7, request.high_watermark));
    assert_eq!(records.len(), delivered.records as usize);
    (delivered, records)
}

/// Batches one behind the other, of the records given, from offset 100 on.
fn log_of(batches: &[(Codec, &[Plain])]) -> Vec<u8> {
    let mut log = Vec::new();
    let mut next_offset = 100;
    for (codec, records) in batches {
        let body = body_of(records);
        let built = build_batch(&body, Format::Bytes, &options(*codec), &mut log).unwrap();
        let front = log[built.range.start..].first_chunk_mut().unwrap();
        header::assign(front, next_offset, 0);
        next_offset += i64::from(built.record_count);
    }
    log
}

#[test]
fn an_envelope_is_taken_apart() {
    let mut frame = vec![0x95, 3, 0xcd, 1, 0, 2, 0x92];
    frame.extend([0x95, 0xa4]);
    frame.extend(b"logs");
    frame.extend([1, 0xff, 0, 0x91, 0x91, 0xc4, 2, b'h', b'i']);
    frame.extend([0x96, 9, 0xff, 5, 2, 0xc4, 3, 1, 2, 3, 0xc3]);
    frame.extend([0x81, 1, 2]);
    let mut entries = Vec::new();
    let envelope = decode_envelope(&frame, &mut entries).unwrap();
    assert_eq!(envelope, Envelope { id: 256, ack: Some(2) });
    let [named, aliased] = entries.as_slice() else { panic!("{entries:?}") };
    let TopicReference::Name(name) = &named.topic else { panic!("{named:?}") };
    assert_eq!(&frame[name.clone()], b"logs");
    assert_eq!((named.partition, named.base_sequence, named.record_count), (1, -1, 1));
    assert_eq!(&frame[named.body.clone()], [0x91, 0x91, 0xc4, 2, b'h', b'i']);
    assert_eq!(aliased.topic, TopicReference::Alias(9));
    assert_eq!((aliased.partition, aliased.base_sequence, aliased.record_count), (-1, 5, 0));
    assert_eq!(aliased.format, Format::Batch);
    assert_eq!(&frame[aliased.body.clone()], [1, 2, 3]);
}

#[test]
fn malformed_frames_are_refused() {
    let mut entries = Vec::new();
    let whole = frame_of(&body_of(&[record("x")]), 0);
    assert_eq!(decode_envelope(&whole, &mut entries).unwrap(), Envelope { id: 42, ack: None });
    for length in 0..whole.len() {
        let error = decode_envelope(&whole[..length], &mut entries).unwrap_err();
        assert_eq!(error.code(), Code::MalformedFrame, "cut after {length}");
    }
    let trailing = [whole.as_slice(), &[0xc0]].concat();
    let frames: [&[u8]; 15] = [
        b"text",
        &[0xc0],
        &trailing,
        &[0x93, 3, 1, 0xc0],
        &[0x94, 4, 1, 0xc0, 0x90],
        &[0x94, 3, 0xff, 0xc0, 0x90],
        &[0x94, 3, 1, 4, 0x90],
        &[0x94, 3, 1, 0xc0, 0xc0],
        &[0x94, 3, 1, 0xc0, 0x91, 0x94, 1, 0, 0, 0],
        &[0x94, 3, 1, 0xc0, 0x91, 0x95, 0xa1, 0xff, 0, 0, 0, 0x90],
        &[0x94, 3, 1, 0xc0, 0x91, 0x95, 1, 0xfe, 0, 0, 0x90],
        &[0x94, 3, 1, 0xc0, 0x91, 0x95, 1, 0, 0xfe, 0, 0x90],
        &[0x94, 3, 1, 0xc0, 0x91, 0x95, 1, 0, 0, 3, 0x90],
        &[0x94, 3, 1, 0xc0, 0x91, 0x95, 1, 0, 0, 0, 0xc4, 0],
        &[0x94, 3, 1, 0xc0, 0x91, 0x95, 1, 0, 0, 2, 0x90],
    ];
    for frame in frames {
        let error = decode_envelope(frame, &mut entries).unwrap_err();
        assert_eq!(error.code(), Code::MalformedFrame, "{frame:x?}");
    }
}

#[test]
fn lying_lengths_cost_nothing() {
    let mut entries = Vec::new();
    for lie in [
        vec![0xdd, 0xff, 0xff, 0xff, 0xff],
        vec![0xdf, 0xff, 0xff, 0xff, 0xff],
        vec![0xc6, 0xff, 0xff, 0xff, 0xff],
        vec![0xc9, 0xff, 0xff, 0xff, 0xff, 1],
    ] {
        let mut frame = vec![0x94, 3, 1, 0xc0, 0x91, 0x95, 1, 0, 0, 1, 0x91, 0x91];
        frame.extend(lie);
        let error = decode_envelope(&frame, &mut entries).unwrap_err();
        assert_eq!(error.code(), Code::MalformedFrame);
    }
    let frame = [0x94, 3, 1, 0xc0, 0xdd, 0xff, 0xff, 0xff, 0xff];
    let error = decode_envelope(&frame, &mut entries).unwrap_err();
    assert_eq!(error.code(), Code::LimitExceeded);
    assert!(entries.capacity() < 10_000);
}

#[test]
fn values_of_any_depth_are_stored_without_recursion() {
    let mut body = vec![0x91, 0x91];
    body.extend(vec![0x91; 1_000_000]);
    body.push(0xc0);
    let mut entries = Vec::new();
    decode_envelope(&frame_of(&body, 1), &mut entries).unwrap();
    let mut out = Vec::new();
    build_batch(&body, Format::MessagePack, &options(Codec::None), &mut out).unwrap();
    let (_, records) = delivered(&out, &request(0, 1));
    assert_eq!(records[0].1.value.as_deref(), Some(&body[2..]));
}

#[test]
fn message_pack_values_are_stored_in_their_encoded_form() {
    // an integer, a map, bin (kept with its marker), nil (a tombstone)
    let body = [0x94, 0x91, 5, 0x91, 0x81, 1, 2, 0x91, 0xc4, 1, 9, 0x92, 0xc0, 0xa1, b'k'];
    let mut out = Vec::new();
    build_batch(&body, Format::MessagePack, &options(Codec::Zstd), &mut out).unwrap();
    let (_, records) = delivered(&out, &request(0, 4));
    let values: Vec<_> = records.iter().map(|(_, record)| record.value.as_deref()).collect();
    assert_eq!(values, [Some(&[5][..]), Some(&[0x81, 1, 2]), Some(&[0xc4, 1, 9]), None]);
    assert_eq!(records[3].1.key.as_deref(), Some(&b"k"[..]));
    assert!(records.iter().all(|(_, record)| record.timestamp_ms == NOW_MS));
}

#[test]
fn wrong_records_are_refused_by_their_index() {
    let good = [0x91, 0xc4, 1, 9];
    let bad: [&[u8]; 9] = [
        &[0xc0],
        &[0x90],
        &[0x91, 5],
        &[0x92, 0xc0, 5],
        &[0x93, 0xc0, 0xc0, 0xa1, b'x'],
        &[0x93, 0xc0, 0xc0, 0xcf, 0xff, 0, 0, 0, 0, 0, 0, 0],
        &[0x94, 0xc0, 0xc0, 0xc0, 0x91, 0x91, 0xa1, b'x'],
        &[0x94, 0xc0, 0xc0, 0xc0, 0x91, 0x92, 0xc4, 1, b'x', 0xc0],
        &[0x94, 0xc0, 0xc0, 0xc0, 0xdc, 0xff, 0xff],
    ];
    for bytes in bad {
        let body = [&[0x92], &good[..], bytes].concat();
        let mut out = vec![1, 2];
        let error = build_batch(&body, Format::Bytes, &options(Codec::None), &mut out).unwrap_err();
        assert_eq!(error.code(), Code::InvalidRecord, "{bytes:x?}");
        assert!(error.detail().starts_with("record 1:"), "{error}");
        assert_eq!(out, [1, 2]);
        let mut splitter = Splitter::default();
        let split = splitter.split(&body, Format::Bytes, 3, 0, &options(Codec::None), &mut out);
        assert_eq!(split.unwrap_err(), error);
        assert_eq!(out, [1, 2]);
    }
    let error = build_batch(&[0x90], Format::Bytes, &options(Codec::None), &mut Vec::new());
    assert_eq!(error.unwrap_err().code(), Code::InvalidRecord);
}

#[test]
fn what_the_topic_refuses_is_refused() {
    let mut compacted = options(Codec::None);
    compacted.rules.compacted = true;
    let mut out = Vec::new();
    let keyless = body_of(&[record("x")]);
    let error = build_batch(&keyless, Format::Bytes, &compacted, &mut out).unwrap_err();
    assert_eq!(error.code(), Code::InvalidRecord);

    let late = body_of(&[Plain { timestamp_ms: NOW_MS + 3_600_001, ..record("x") }]);
    let error = build_batch(&late, Format::Bytes, &options(Codec::None), &mut out).unwrap_err();
    assert_eq!(error.code(), Code::InvalidTimestamp);

    let mut small = options(Codec::None);
    small.rules.bytes_max = 100;
    let large = body_of(&[record(&"x".repeat(100))]);
    let error = build_batch(&large, Format::Bytes, &small, &mut out).unwrap_err();
    assert_eq!(error.code(), Code::MessageTooLarge);
    assert!(out.is_empty());
}

#[test]
fn the_brokers_time_counts_where_the_topic_says_so() {
    let mut stamped = options(Codec::Lz4);
    stamped.rules.timestamp = TimestampRule::LogAppendTime { now_ms: NOW_MS + 9 };
    stamped.producer = Some(Producer { id: 1, epoch: 0, base_sequence: 5 });
    let mut out = Vec::new();
    let body = body_of(&[record("a"), Plain { timestamp_ms: 5, ..record("b") }]);
    let built = build_batch(&body, Format::Bytes, &stamped, &mut out).unwrap();
    assert_eq!((built.max_timestamp_ms, built.offset_of_max_timestamp_delta), (NOW_MS + 9, 0));
    let (_, records) = delivered(&out, &request(0, 2));
    assert!(records.iter().all(|(_, record)| record.timestamp_ms == NOW_MS + 9));
}

#[test]
fn keyed_records_go_where_kafkas_clients_send_them() {
    let mut records = Vec::new();
    for index in 0..100 {
        let key = (index % 3 != 0).then(|| format!("key-{}", index % 7).into_bytes());
        records.push(Plain { key, ..record(&format!("value {index}")) });
    }
    let mut splitter = Splitter::default();
    for _ in 0..2 {
        let mut out = b"front".to_vec();
        let body = body_of(&records);
        let parts =
            splitter.split(&body, Format::Bytes, 5, 3, &options(Codec::Snappy), &mut out).unwrap();
        assert_eq!(parts.first().unwrap().built.range.start, 5);
        let mut seen = 0;
        for part in parts {
            let batch = &out[part.built.range.clone()];
            let count = i64::from(part.built.record_count);
            let (_, got) = delivered(batch, &request(0, count));
            let expected: Vec<_> = records
                .iter()
                .filter(|record| {
                    let home = |key: &Vec<u8>| murmur2::partition_for_key(key, 5);
                    record.key.as_ref().map_or(3, home) == part.partition
                })
                .cloned()
                .collect();
            assert_eq!(got.into_iter().map(|(_, record)| record).collect::<Vec<_>>(), expected);
            seen += expected.len();
        }
        assert_eq!(seen, records.len());
    }
}

#[test]
fn deliveries_stop_and_resume_anywhere() {
    let records: Vec<_> = (0..60).map(|index| record(&format!("value {index}"))).collect();
    let log = log_of(&[
        (Codec::None, &records[..10]),
        (Codec::Zstd, &records[10..40]),
        (Codec::Lz4, &records[40..60]),
    ]);
    for records_max in [1, 3, 7, 100] {
        for bytes_max in [0, 60, 1 << 20] {
            let (mut offset, mut got) = (100, Vec::new());
            while offset < 155 {
                let ask = DeliveryRequest { records_max, bytes_max, ..request(offset, 155) };
                let (done, records) = delivered(&log, &ask);
                assert!(done.records >= 1 && done.records <= records_max);
                assert!(done.bytes <= bytes_max || done.records == 1);
                assert!(records.iter().map(|(offset, _)| *offset).eq(offset..done.next_offset));
                offset = done.next_offset;
                got.extend(records.into_iter().map(|(_, record)| record));
            }
            assert_eq!(got, records[..55]);
        }
    }
    let (done, _) = delivered(&log, &request(160, 160));
    assert_eq!((done.records, done.next_offset), (0, 160));
}

#[test]
fn a_batch_that_is_cut_off_ends_the_delivery() {
    let log = log_of(&[(Codec::None, &[record("a")]), (Codec::None, &[record("b")])]);
    for cut in 1..log.len() / 2 {
        let (done, _) = delivered(&log[..log.len() - cut], &request(100, 102));
        assert_eq!((done.records, done.next_offset), (1, 101));
    }
}

#[test]
fn a_damaged_batch_is_named_once_nothing_waits_in_front_of_it() {
    let mut log = log_of(&[(Codec::None, &[record("a")]), (Codec::Gzip, &[record("b")])]);
    let second = BatchHeader::read(&log).unwrap().batch_bytes();
    *log.last_mut().unwrap() ^= 1;
    let (done, records) = delivered(&log, &request(100, 102));
    assert_eq!((done.records, done.next_offset, records.len()), (1, 101, 1));
    let mut out = vec![1];
    let damaged = deliver(&log, &request(101, 102), &mut out).unwrap_err();
    assert_eq!(damaged.position, second);
    assert_eq!(damaged.header.unwrap().base_offset, 101);
    assert_eq!(damaged.error.code(), Code::CorruptMessage);
    assert_eq!(out, [1]);
    // A header whose own fields moved is damage as well, not a reason to skip the batch.
    log[second + 16] = 9;
    let damaged = deliver(&log, &request(101, 102), &mut out).unwrap_err();
    assert_eq!((damaged.position, damaged.header), (second, None));
    let repeated = log_of(&[(Codec::None, &[record("a")])]).repeat(2);
    let (done, _) = delivered(&repeated, &request(100, 110));
    assert_eq!((done.records, done.next_offset), (1, 101));
    assert!(deliver(&repeated, &request(101, 110), &mut out).is_err());
}

#[test]
fn a_batch_that_expands_far_is_left_to_another_thread() {
    let large = [record(&"x".repeat(200_000))];
    let log = log_of(&[(Codec::None, &[record("a")]), (Codec::Zstd, &large)]);
    let mut out = Vec::new();
    let within = |from_offset, decompressed_bytes_max, out: &mut Vec<u8>| {
        let opener = deliver::Anew { decompressed_bytes_max };
        deliver_opened(&log, &request(from_offset, 102), &opener, out).unwrap()
    };
    let first = within(100, 100_000, &mut out).unwrap();
    assert_eq!((first.records, first.next_offset), (1, 101));
    out.clear();
    assert_eq!(within(101, 100_000, &mut out), None);
    assert!(out.is_empty());
    assert_eq!(within(101, 300_000, &mut out).unwrap().next_offset, 102);
    assert_eq!(delivered(&log, &request(100, 102)).0.records, 2);
}

#[test]
fn compacted_batches_keep_their_offsets() {
    let mut log = log_of(&[(Codec::None, &[record("a"), record("b"), record("c"), record("d")])]);
    let record_bytes = (log.len() - HEADER_BYTES) / 4;
    // What compaction leaves when "b" and "d" are superseded.
    log.truncate(HEADER_BYTES + 3 * record_bytes);
    log.drain(HEADER_BYTES + record_bytes..HEADER_BYTES + 2 * record_bytes);
    let length = (log.len() - 12) as u32;
    log[8..12].copy_from_slice(&length.to_be_bytes());
    log[57..61].copy_from_slice(&2_u32.to_be_bytes());
    let crc = header::crc32c(&log[21..]);
    log[17..21].copy_from_slice(&crc.to_be_bytes());
    for (from_offset, expected) in
        [(100, vec![100, 102]), (101, vec![102]), (102, vec![102]), (103, vec![])]
    {
        let (done, records) = delivered(&log, &request(from_offset, 104));
        let offsets: Vec<_> = records.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, expected);
        assert_eq!(done.next_offset, 104, "behind the last record, also when it is gone");
    }
}

#[test]
fn control_batches_are_passed_over() {
    let mut log = log_of(&[(Codec::None, &[record("marker")]), (Codec::None, &[record("b")])]);
    let first = BatchHeader::read(&log).unwrap().batch_bytes();
    log[22] |= 1 << 5;
    let crc = header::crc32c(&log[21..first]);
    log[17..21].copy_from_slice(&crc.to_be_bytes());
    let (done, records) = delivered(&log, &request(100, 102));
    assert_eq!((done.records, done.next_offset, records[0].0), (1, 102, 101));
    let (done, _) = delivered(&log[..first], &request(100, 102));
    assert_eq!((done.records, done.next_offset), (0, 101));
}

#[test]
fn a_header_name_that_is_not_utf_8_still_gives_a_readable_frame() {
    let mut log = Vec::new();
    let mut builder = BatchBuilder::new(&mut log, Codec::None, None);
    let odd = crate::batch::Header { name: &[0xff], value: None };
    builder.push(NOW_MS, None, None, std::iter::once(odd)).unwrap();
    builder.finish(Finish::default()).unwrap();
    let (_, records) = delivered(&log, &request(0, 1));
    assert_eq!(records[0].1.headers, [("\u{fffd}".to_owned(), None)]);
}

fn records_strategy() -> impl Strategy<Value = Vec<Plain>> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..300));
    let headers = prop::collection::vec(("[a-zé]{0,40}", bytes()), 0..3);
    let record =
        (bytes(), bytes(), -1_000_i64..1_000, headers).prop_map(|(value, key, age_ms, headers)| {
            Plain { value, key, timestamp_ms: NOW_MS + age_ms, headers }
        });
    prop::collection::vec(record, 1..30)
}

proptest! {
    #[test]
    fn records_survive_the_way_from_frame_to_delivery(
        records in records_strategy(),
        number in 0_u8..5,
    ) {
        let frame = frame_of(&body_of(&records), 0);
        let mut entries = Vec::new();
        decode_envelope(&frame, &mut entries).unwrap();
        let body = &frame[entries[0].body.clone()];
        prop_assert_eq!(entries[0].record_count as usize, records.len());
        let options = options(Codec::from_number(number).unwrap());
        let mut batch = Vec::new();
        build_batch(body, Format::Bytes, &options, &mut batch).unwrap();
        validate(&batch, &options.rules).unwrap();
        let (_, got) = delivered(&batch, &request(0, records.len() as i64));
        let expected: Vec<_> = (0_i64..).zip(records).collect();
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn any_bytes_give_an_error_or_a_valid_batch(
        records in records_strategy(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
        cut in any::<prop::sample::Index>(),
        format in 0_u8..3,
    ) {
        let mut frame = frame_of(&body_of(&records), format);
        let bytes = frame.len();
        for (index, byte) in changes {
            frame[index.index(bytes)] = byte;
        }
        frame.truncate(bytes.min(cut.index(2 * bytes) + 1));
        exercise(&frame);
    }
}

/// Takes a frame as far as it goes; whatever is built must be valid.
fn exercise(frame: &[u8]) {
    let mut entries = Vec::new();
    if decode_envelope(frame, &mut entries).is_err() {
        return;
    }
    let options = options(Codec::None);
    let mut splitter = Splitter::default();
    for entry in &entries {
        let body = &frame[entry.body.clone()];
        let mut out = Vec::new();
        if entry.format == Format::Batch {
            assert!(build_batch(body, entry.format, &options, &mut out).is_err());
            continue;
        }
        let Ok(built) = build_batch(body, entry.format, &options, &mut out) else {
            assert!(splitter.split(body, entry.format, 4, 0, &options, &mut out).is_err());
            continue;
        };
        assert_eq!(built.record_count, entry.record_count);
        let summary = validate(&out, &options.rules).unwrap();
        assert_eq!(summary.record_count, built.record_count);
        assert!(out.len() > HEADER_BYTES);
        out.clear();
        let parts = splitter.split(body, entry.format, 4, 0, &options, &mut out).unwrap();
        let count: u32 = parts.iter().map(|part| part.built.record_count).sum();
        assert_eq!(count, built.record_count);
    }
}
