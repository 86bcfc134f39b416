//! Reading.
#![expect(unsafe_code, reason = "mapped memory becomes ArrayBuffers here")]

use millrace_core::registry::deliver::{Outcome, ReadRequest};
use napi::{
    Env,
    bindgen_prelude::{ArrayBuffer, Float64ArraySlice, Uint8ArraySlice},
};
use napi_derive::napi;

use crate::{
    error::{invalid, to_js},
    handles, scratch,
    store::whole,
};

/// Status of a read: a frame or a view is there.
#[napi]
pub const READ_DATA: u32 = 0;
/// Status of a read: nothing behind the offset is visible yet.
#[napi]
pub const READ_AT_END: u32 = 1;
/// Status of a read: ask again when the token's event comes.
#[napi]
pub const READ_LOADING: u32 = 2;
/// Status of a read: not an offset of this log.
#[napi]
pub const READ_OUT_OF_RANGE: u32 = 3;
/// Status of a read: a damaged range; read on behind it.
#[napi]
pub const READ_GAP: u32 = 4;
/// Status of a read: the frame is larger than the buffer; take it with `takeFrame`.
#[napi]
pub const READ_LARGE: u32 = 5;

/// Reads records into `output` as one whole frame. `result` gets: status, next offset, records,
/// bytes of the records, high watermark, token, log start, bytes of the frame.
#[napi]
#[expect(
    clippy::too_many_arguments,
    reason = "flat arguments cost no object a delivery"
)]
pub fn read_records(
    store: u32,
    channel: u32,
    topic: u32,
    partition: u32,
    offset: f64,
    subscription: u32,
    records_max: u32,
    bytes_max: f64,
    mut output: Uint8ArraySlice<'_>,
    mut result: Float64ArraySlice<'_>,
) -> napi::Result<()> {
    let store = handles::store(store)?;
    let state = handles::event_loop(channel)?;
    let mut buffers = state.scratch.lock();
    let request = ReadRequest {
        topic,
        partition,
        offset: whole(offset),
        subscription,
        records_max,
        bytes_max: whole(bytes_max),
    };
    let frame = &mut buffers.frame;
    frame.clear();
    let outcome = store
        .read_records(&state.channel, &request, frame)
        .map_err(|error| to_js(&error))?;
    let mut numbers = numbers(&outcome);
    if let Some(target) = scratch::bytes(&mut output).get_mut(..frame.len()) {
        target.copy_from_slice(frame);
    } else {
        set(&mut numbers, 0, f64::from(READ_LARGE));
    }
    set(&mut numbers, 7, frame.len() as f64);
    write(scratch::numbers(&mut result), &numbers);
    Ok(())
}

/// Copies the frame of the last `readRecords`, which was larger than its buffer.
#[napi]
pub fn take_frame(channel: u32, mut output: Uint8ArraySlice<'_>) -> napi::Result<()> {
    let state = handles::event_loop(channel)?;
    let mut buffers = state.scratch.lock();
    let frame = std::mem::take(&mut buffers.frame);
    let target = scratch::bytes(&mut output)
        .get_mut(..frame.len())
        .ok_or_else(|| invalid("the buffer is too small"))?;
    target.copy_from_slice(&frame);
    Ok(())
}

/// Finds whole batches in mapped memory. `result` gets what `readRecords` gives, then the id of
/// the window that holds them (see `mapWindow`), where in it they begin, and their bytes.
#[napi]
#[expect(
    clippy::too_many_arguments,
    reason = "flat arguments cost no object a delivery"
)]
pub fn read_batches(
    store: u32,
    channel: u32,
    topic: u32,
    partition: u32,
    offset: f64,
    bytes_max: f64,
    mut result: Float64ArraySlice<'_>,
) -> napi::Result<()> {
    let store = handles::store(store)?;
    let state = handles::event_loop(channel)?;
    let request = ReadRequest {
        topic,
        partition,
        offset: whole(offset),
        subscription: 0,
        records_max: u32::MAX,
        bytes_max: whole(bytes_max),
    };
    let outcome = store
        .read_batches(&state.channel, &request)
        .map_err(|error| to_js(&error))?;
    write(scratch::numbers(&mut result), &numbers(&outcome));
    Ok(())
}

/// The memory of a read window as an `ArrayBuffer` that nobody may write to, or `null` when it
/// was given up meanwhile (read again then). The memory stays mapped until the buffer is
/// collected or detached.
#[napi]
pub fn map_window<'env>(
    env: &'env Env,
    store: u32,
    window: f64,
) -> napi::Result<Option<ArrayBuffer<'env>>> {
    let store = handles::store(store)?;
    let Some(window) = store.shared().windows.by_id(whole(window)) else {
        return Ok(None);
    };
    let (pointer, bytes) = (window.mapping.as_ptr().cast_mut(), window.mapping.bytes());
    // SAFETY: the mapping is `bytes` long and stays mapped until the finalizer drops the Arc that
    // it is given. It is mapped read-only: a script that writes to it faults, which src/storage
    // rules out by handing out its views to sockets only.
    let buffer = unsafe {
        ArrayBuffer::from_external(env, pointer, bytes, window, |_env, window| drop(window))?
    };
    Ok(Some(buffer))
}

/// Whether the high watermark has not passed `offset` yet; then an event of kind 2 comes once it
/// has.
#[napi]
pub fn watch(
    store: u32,
    channel: u32,
    topic: u32,
    partition: u32,
    offset: f64,
) -> napi::Result<bool> {
    let store = handles::store(store)?;
    let state = handles::event_loop(channel)?;
    store
        .watch(&state.channel, topic, partition, whole(offset))
        .map_err(|error| to_js(&error))
}

const NUMBERS: usize = 11;

/// The outcome as the numbers that `readRecords` and `readBatches` document.
fn numbers(outcome: &Outcome) -> [f64; NUMBERS] {
    let status = |status: u32| f64::from(status);
    match outcome {
        Outcome::Records {
            records,
            bytes,
            next_offset,
            high_watermark,
        } => [
            status(READ_DATA),
            *next_offset as f64,
            f64::from(*records),
            *bytes as f64,
            *high_watermark as f64,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
        ],
        Outcome::Batches(batches) => [
            status(READ_DATA),
            batches.next_offset as f64,
            f64::from(batches.record_count),
            batches.range.len() as f64,
            batches.high_watermark as f64,
            0.0,
            0.0,
            0.0,
            batches.window.id as f64,
            batches.range.start as f64,
            batches.range.len() as f64,
        ],
        Outcome::AtEnd { high_watermark } => with(READ_AT_END, &[(4, *high_watermark as f64)]),
        Outcome::Loading { token } => with(READ_LOADING, &[(5, f64::from(*token))]),
        Outcome::Gap { to_offset } => with(READ_GAP, &[(1, *to_offset as f64)]),
        Outcome::OutOfRange {
            log_start,
            high_watermark,
        } => with(
            READ_OUT_OF_RANGE,
            &[(4, *high_watermark as f64), (6, *log_start as f64)],
        ),
    }
}

fn with(status: u32, fields: &[(usize, f64)]) -> [f64; NUMBERS] {
    let mut numbers = [0.0; NUMBERS];
    set(&mut numbers, 0, f64::from(status));
    for (index, value) in fields {
        set(&mut numbers, *index, *value);
    }
    numbers
}

fn set(numbers: &mut [f64; NUMBERS], index: usize, value: f64) {
    if let Some(slot) = numbers.get_mut(index) {
        *slot = value;
    }
}

fn write(result: &mut [f64], numbers: &[f64]) {
    for (slot, value) in result.iter_mut().zip(numbers) {
        *slot = *value;
    }
}
