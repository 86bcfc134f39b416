//! The offset map and the batch filter together, held against a model.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{
    filter::{Fate, Filtered, Rules, filter},
    offset_map::OffsetMap,
};
use crate::{
    batch::{
        Attributes, BatchBuilder, BatchHeader, Finish, HEADER_BYTES, Header, Producer, Records,
        TimestampType, header::assign,
    },
    compression::{Codec, decompress},
    env::SystemRandom,
    limits::BATCH_BYTES_DECOMPRESSED_MAX,
};

const NOW_MS: i64 = 1_700_000_000_000;
const RETENTION_MS: i64 = 1000;

/// A record as it reads, wherever it is stored.
#[derive(Debug, Clone, PartialEq)]
struct Owned {
    offset: u64,
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn record(key: Option<&str>, value: Option<&str>) -> Owned {
    Owned {
        offset: 0,
        timestamp_ms: NOW_MS,
        key: key.map(|key| key.as_bytes().to_vec()),
        value: value.map(|value| value.as_bytes().to_vec()),
        headers: Vec::new(),
    }
}

fn build(base_offset: u64, codec: Codec, records: &[Owned], finish: Finish) -> Vec<u8> {
    let mut batch = Vec::new();
    let mut builder = BatchBuilder::new(&mut batch, codec, None);
    for record in records {
        let headers = record
            .headers
            .iter()
            .map(|(name, value)| Header { name: name.as_slice(), value: value.as_deref() });
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.push(record.timestamp_ms, key, value, headers).unwrap();
    }
    builder.finish(finish).unwrap();
    let base_offset = i64::try_from(base_offset).unwrap();
    assign(batch.first_chunk_mut().unwrap(), base_offset, 5);
    batch
}

/// The records of whole batches with good checksums.
fn read(mut batches: &[u8]) -> Vec<Owned> {
    let mut found = Vec::new();
    while !batches.is_empty() {
        let header = BatchHeader::read(batches).unwrap();
        header.verify_crc(batches).unwrap();
        let (batch, rest) = batches.split_at(header.batch_bytes());
        let mut section = Vec::new();
        let codec = header.attributes.codec().unwrap();
        let bytes_max = BATCH_BYTES_DECOMPRESSED_MAX;
        decompress(codec, &batch[HEADER_BYTES..], bytes_max, &mut section).unwrap();
        for record in Records::new(&section, header.record_count) {
            let record = record.unwrap();
            let timestamp_ms = match header.attributes.timestamp_type() {
                TimestampType::CreateTime => header.base_timestamp + record.timestamp_delta,
                TimestampType::LogAppendTime => header.max_timestamp,
            };
            let headers = record.headers.map(|header| {
                let header = header.unwrap();
                (header.name.to_vec(), header.value.map(<[u8]>::to_vec))
            });
            found.push(Owned {
                offset: u64::try_from(header.base_offset + i64::from(record.offset_delta)).unwrap(),
                timestamp_ms,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: headers.collect(),
            });
        }
        batches = rest;
    }
    found
}

fn offsets_of(records: &[Owned], from: u64, to: u64) -> OffsetMap {
    let mut offsets = OffsetMap::new(&SystemRandom, 10_000, u64::MAX);
    for record in records.iter().filter(|record| (from..to).contains(&record.offset)) {
        if let Some(key) = &record.key {
            offsets.put(key, record.offset).unwrap();
        }
    }
    offsets
}

fn rules(offsets: &OffsetMap, now_ms: i64) -> Rules<'_> {
    Rules {
        offsets,
        end_offset: u64::MAX,
        now_ms,
        delete_retention_ms: RETENTION_MS,
        are_tombstones_settled: true,
        compression_level: None,
    }
}

fn filter_all(
    batches: &[Vec<u8>],
    rules: &Rules<'_>,
    must_stay: bool,
) -> (Vec<Vec<u8>>, Vec<Filtered>) {
    let (mut left, mut fates) = (Vec::new(), Vec::new());
    for batch in batches {
        let mut output = b"front".to_vec();
        let header = BatchHeader::read(batch).unwrap();
        fates.push(filter(&header, batch, rules, must_stay, &mut output));
        assert_eq!(&output[..5], b"front");
        if output.len() > 5 {
            left.push(output[5..].to_vec());
        }
    }
    (left, fates)
}

/// One pass over batches, all of them dirty.
fn pass(batches: &[Vec<u8>], now_ms: i64) -> (Vec<Vec<u8>>, Vec<Filtered>) {
    let offsets = offsets_of(&read(&batches.concat()), 0, u64::MAX);
    filter_all(batches, &rules(&offsets, now_ms), false)
}

#[test]
fn of_a_key_only_the_last_record_stays() {
    let batches = [
        build(
            10,
            Codec::None,
            &[record(Some("a"), Some("1")), record(Some("b"), Some("1"))],
            Finish::default(),
        ),
        build(12, Codec::None, &[record(Some("a"), Some("2"))], Finish::default()),
        build(13, Codec::None, &[record(Some("a"), Some("3"))], Finish::default()),
    ];
    let (left, fates) = pass(&batches, NOW_MS);
    let fates: Vec<Fate> = fates.iter().map(|filtered| filtered.fate).collect();
    assert_eq!(fates, [Fate::Rewritten, Fate::Gone, Fate::Kept]);
    let offsets: Vec<u64> = read(&left.concat()).iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [11, 13]);
    assert_eq!(left[1], batches[2]);
    let header = BatchHeader::read(&left[0]).unwrap();
    assert_eq!((header.base_offset, header.last_offset(), header.leader_epoch), (10, 11, 5));
}

#[test]
fn a_tombstone_goes_in_the_pass_after_its_horizon() {
    let records =
        [record(Some("a"), Some("1")), record(Some("a"), None), record(Some("b"), Some("1"))];
    let batches = [build(0, Codec::Lz4, &records, Finish::default())];
    let (first, fates) = pass(&batches, NOW_MS);
    assert_eq!((fates[0].fate, fates[0].tombstones), (Fate::Rewritten, 1));
    let header = BatchHeader::read(&first[0]).unwrap();
    assert!(header.attributes.has_delete_horizon());
    assert_eq!(header.base_timestamp, NOW_MS + RETENTION_MS);
    let stayed: Vec<(u64, i64)> =
        read(&first[0]).iter().map(|record| (record.offset, record.timestamp_ms)).collect();
    assert_eq!(stayed, [(1, NOW_MS), (2, NOW_MS)]);
    // Too early: as it was.
    let (second, fates) = pass(&first, NOW_MS + RETENTION_MS - 1);
    assert_eq!((fates[0].fate, &second), (Fate::Kept, &first));
    let (third, _) = pass(&second, NOW_MS + RETENTION_MS);
    let stayed: Vec<u64> = read(&third[0]).iter().map(|record| record.offset).collect();
    assert_eq!(stayed, [2]);
    assert!(BatchHeader::read(&third[0]).unwrap().attributes.has_delete_horizon());
}

#[test]
fn a_tombstone_stays_while_it_may_hide_something() {
    let batches = [build(0, Codec::None, &[record(Some("a"), None)], Finish::default())];
    let (with_horizon, _) = pass(&batches, NOW_MS);
    let offsets = offsets_of(&read(&with_horizon[0]), 0, u64::MAX);
    let later_ms = NOW_MS + 10 * RETENTION_MS;
    let unsettled = Rules { are_tombstones_settled: false, ..rules(&offsets, later_ms) };
    let (left, fates) = filter_all(&with_horizon, &unsettled, false);
    assert_eq!((fates[0].fate, left), (Fate::Kept, with_horizon));
    // Nor does it get a horizon, nor one behind the end.
    for rules in [unsettled, Rules { end_offset: 0, ..rules(&offsets, NOW_MS) }] {
        assert_eq!(filter_all(&batches, &rules, false).1[0].fate, Fate::Kept);
    }
}

#[test]
fn a_header_stays_where_it_must_and_keeps_what_it_says_of_the_producer() {
    let producer = Producer { id: 7, epoch: 3, base_sequence: 41 };
    let finish = Finish { producer: Some(producer), log_append_time_ms: Some(NOW_MS) };
    let records = [record(Some("a"), Some("1")), record(Some("a"), Some("2"))];
    let batch = build(100, Codec::Gzip, &records, finish);
    let mut offsets = OffsetMap::new(&SystemRandom, 1, 0);
    offsets.put(b"a", 1000).unwrap();
    let (left, fates) = filter_all(&[batch], &rules(&offsets, NOW_MS), true);
    assert_eq!((fates[0].fate, fates[0].records_after), (Fate::Emptied, 0));
    assert_eq!(left[0].len(), HEADER_BYTES);
    let header = BatchHeader::read(&left[0]).unwrap();
    header.verify_crc(&left[0]).unwrap();
    assert_eq!((header.base_offset, header.last_offset(), header.leader_epoch), (100, 101, 5));
    assert_eq!((header.producer(), header.record_count), (Some(producer), 0));
    assert_eq!(header.attributes, Attributes::new(Codec::None, TimestampType::LogAppendTime));
    assert_eq!((header.base_timestamp, header.max_timestamp), (-1, NOW_MS));
    // Once more it is the same, and gone when nothing needs it.
    assert_eq!(filter_all(&left, &rules(&offsets, NOW_MS), true).0, left);
    assert_eq!(filter_all(&left, &rules(&offsets, NOW_MS), false).1[0].fate, Fate::Gone);
}

#[test]
fn what_cannot_be_decided_about_stays_byte_for_byte() {
    let sound = build(0, Codec::Gzip, &[record(Some("a"), Some("1"))], Finish::default());
    let mut unreadable = sound.clone();
    unreadable[HEADER_BYTES + 12] ^= 0x55;
    let mut transactional = sound.clone();
    transactional[22] |= 1 << 4;
    let mut offsets = OffsetMap::new(&SystemRandom, 1, 0);
    offsets.put(b"a", 1000).unwrap();
    for batch in [unreadable, transactional] {
        let (left, fates) =
            filter_all(std::slice::from_ref(&batch), &rules(&offsets, NOW_MS), false);
        assert_eq!((fates[0].fate, left), (Fate::Undecided, vec![batch]));
    }
}

#[test]
fn a_batch_that_its_horizon_would_make_too_large_goes_without_one() {
    let value = "v".repeat(90);
    let mut records: Vec<Owned> =
        (0..79_000).map(|number| record(Some(&format!("{number:05}")), Some(&value))).collect();
    records[1] = record(Some("gone"), None);
    let alone = build(0, Codec::None, &records, Finish::default());
    records[0] = records.last().unwrap().clone();
    let with_older = build(0, Codec::None, &records, Finish::default());
    let mut offsets = OffsetMap::new(&SystemRandom, 100_000, u64::MAX);
    for (offset, record) in (0..).zip(&records) {
        offsets.put(record.key.as_ref().unwrap(), offset).unwrap();
    }
    let batches = [alone.clone(), with_older];
    let (left, fates) = filter_all(&batches, &rules(&offsets, NOW_MS), false);
    assert_eq!((fates[0].fate, left[0] == alone), (Fate::Kept, true));
    assert_eq!((fates[1].fate, fates[1].records_after), (Fate::Rewritten, 78_999));
    assert!(!BatchHeader::read(&left[1]).unwrap().attributes.has_delete_horizon());
}

#[test]
fn a_record_without_a_key_goes() {
    let records = [record(None, Some("1")), record(Some("a"), Some("1"))];
    let (left, _) = pass(&[build(0, Codec::None, &records, Finish::default())], NOW_MS);
    assert_eq!(read(&left[0]).len(), 1);
}

fn any_record() -> impl Strategy<Value = Owned> {
    let key = prop::option::weighted(0.95, prop::sample::select(vec!["a", "b", "c", "", "dd"]));
    let value = prop::option::weighted(0.8, prop::collection::vec(any::<u8>(), 0..20));
    let headers = prop::collection::vec(
        ("[a-z]{0,3}", prop::option::of(prop::collection::vec(any::<u8>(), 0..3))),
        0..3,
    );
    let timestamp_ms = prop_oneof![-1..3i64, NOW_MS - 100..NOW_MS + 100];
    (key, value, headers, timestamp_ms).prop_map(|(key, value, headers, timestamp_ms)| Owned {
        value,
        timestamp_ms,
        headers: headers.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect(),
        ..record(key, None)
    })
}

/// What a log whose records are all known is after some passes, by the definition of compaction.
fn expected(records: &[Owned], end_offset: u64, may_lack_tombstones: bool) -> Vec<Owned> {
    let mut last: HashMap<&[u8], u64> = HashMap::new();
    for record in records.iter().filter(|record| record.offset < end_offset) {
        if let Some(key) = &record.key {
            last.insert(key, record.offset);
        }
    }
    let stays = |record: &&Owned| {
        let Some(key) = &record.key else { return record.offset >= end_offset };
        record.offset >= end_offset
            || (last.get(key.as_slice()) == Some(&record.offset)
                && !(may_lack_tombstones && record.value.is_none()))
    };
    records.iter().filter(stays).cloned().collect()
}

proptest! {
    #[test]
    fn the_last_value_of_every_key_stays_as_it_was(
        made in prop::collection::vec(
            (prop::collection::vec(any_record(), 1..6), prop::sample::select(Codec::ALL.to_vec())),
            1..12,
        ),
        end in 0..40u64,
        is_stamped: bool,
        must_stay: bool,
    ) {
        let mut next = 0;
        let mut batches = Vec::new();
        for (records, codec) in &made {
            let log_append_time_ms = is_stamped.then_some(NOW_MS + 1);
            let finish = Finish { producer: None, log_append_time_ms };
            batches.push(build(next, *codec, records, finish));
            next += records.len() as u64;
        }
        let all = read(&batches.concat());
        // First a pass over a part, then over all, then one in which tombstones are due.
        let offsets = offsets_of(&all, 0, end);
        let first = Rules { end_offset: end, ..rules(&offsets, NOW_MS) };
        let (batches, fates) = filter_all(&batches, &first, must_stay);
        prop_assert_eq!(read(&batches.concat()), expected(&all, end, false));
        let before: u64 = fates.iter().map(|filtered| filtered.records_before).sum();
        let after: u64 = fates.iter().map(|filtered| filtered.records_after).sum();
        prop_assert_eq!(before, all.len() as u64);
        prop_assert_eq!(after, read(&batches.concat()).len() as u64);
        // What the first pass has decided about is clean: only what is behind it is noted.
        let offsets = offsets_of(&all, end, u64::MAX);
        let (batches, _) = filter_all(&batches, &rules(&offsets, NOW_MS + 1), must_stay);
        let left = read(&batches.concat());
        prop_assert_eq!(&left, &expected(&all, u64::MAX, false));
        for batch in &batches {
            let header = BatchHeader::read(batch).unwrap();
            let records = read(batch);
            let has_tombstones = records.iter().any(|record| record.value.is_none());
            prop_assert!(!has_tombstones || header.attributes.has_delete_horizon());
            let largest = records.iter().map(|record| record.timestamp_ms).max();
            prop_assert!(largest.is_none_or(|largest| largest == header.max_timestamp));
            prop_assert!(must_stay || !records.is_empty());
        }
        // With nothing new, nothing changes.
        let nothing = offsets_of(&[], 0, 0);
        let again = filter_all(&batches, &rules(&nothing, NOW_MS + 2), must_stay);
        prop_assert_eq!(&again.0, &batches);
        let last = filter_all(&batches, &rules(&nothing, NOW_MS + 1 + RETENTION_MS), must_stay);
        prop_assert_eq!(read(&last.0.concat()), expected(&all, u64::MAX, true));
        prop_assert_eq!(last.0.len() == batches.len(), must_stay || {
            batches.iter().all(|batch| read(batch).iter().any(|record| record.value.is_some()))
        });
    }
}
