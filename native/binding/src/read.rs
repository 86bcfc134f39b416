//! Reading.
#![expect(clippy::too_many_arguments, reason = "flat arguments cost no object a frame")]

use millrace_core::{
    layout,
    registry::deliver::{Outcome, ReadRequest},
};
use napi::bindgen_prelude::{Float64ArraySlice, Uint8ArraySlice};
use napi_derive::napi;

use crate::{
    error::{invalid, to_js},
    handles, scratch,
    store::whole,
};

/// Reads records into `output` as one whole frame; `result` gets the `READ_*` numbers.
/// `connection` is whose subscription it is, as the loop numbers its connections.
#[napi]
pub fn read_records(
    store: u32,
    channel: u32,
    topic: u32,
    partition: u32,
    offset: f64,
    subscription: u32,
    records_max: u32,
    bytes_max: f64,
    connection: f64,
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
        connection: whole(connection),
    };
    let frames = &mut buffers.frames;
    let outcome =
        store.read_shared(&state.channel, &request, frames).map_err(|error| to_js(&error))?;
    let frame = frames.last();
    let mut numbers = numbers(&outcome);
    if let Some(target) = scratch::bytes(&mut output).get_mut(..frame.len()) {
        target.copy_from_slice(frame);
    } else {
        set(&mut numbers, layout::READ_STATUS, layout::READ_STATUS_LARGE as f64);
    }
    set(&mut numbers, layout::READ_FRAME_BYTES, frame.len() as f64);
    write(scratch::numbers(&mut result), &numbers);
    Ok(())
}

/// Copies the frame of the last `readRecords`, which was larger than its buffer.
#[napi]
pub fn take_frame(channel: u32, mut output: Uint8ArraySlice<'_>) -> napi::Result<()> {
    let state = handles::event_loop(channel)?;
    let mut buffers = state.scratch.lock();
    let frame = buffers.frames.last();
    let target = scratch::bytes(&mut output)
        .get_mut(..frame.len())
        .ok_or_else(|| invalid("the buffer is too small"))?;
    target.copy_from_slice(frame);
    buffers.frames.forget_last();
    Ok(())
}

/// Finds whole batches in mapped memory; `result` gets the `READ_*` numbers. The window named
/// there is had by `holdWindow`.
#[napi]
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
        connection: 0,
    };
    let outcome = store.read_batches(&state.channel, &request).map_err(|error| to_js(&error))?;
    write(scratch::numbers(&mut result), &numbers(&outcome));
    Ok(())
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
    store.watch(&state.channel, topic, partition, whole(offset)).map_err(|error| to_js(&error))
}

/// The outcome as the numbers that src/storage/layout.ts describes.
fn numbers(outcome: &Outcome) -> [f64; layout::READ_STRIDE] {
    let mut numbers = [0.0; layout::READ_STRIDE];
    let mut set = |index: usize, value: f64| set(&mut numbers, index, value);
    match outcome {
        Outcome::Records { records, bytes, next_offset, high_watermark, .. } => {
            set(layout::READ_NEXT_OFFSET, *next_offset as f64);
            set(layout::READ_RECORDS, f64::from(*records));
            set(layout::READ_BYTES, *bytes as f64);
            set(layout::READ_HIGH_WATERMARK, *high_watermark as f64);
        }
        Outcome::Batches(batches) => {
            set(layout::READ_NEXT_OFFSET, batches.next_offset as f64);
            set(layout::READ_RECORDS, f64::from(batches.record_count));
            set(layout::READ_BYTES, batches.range.len() as f64);
            set(layout::READ_HIGH_WATERMARK, batches.high_watermark as f64);
            set(layout::READ_WINDOW, batches.window.id as f64);
            set(layout::READ_VIEW_START, batches.range.start as f64);
            set(layout::READ_VIEW_BYTES, batches.range.len() as f64);
        }
        Outcome::AtEnd { high_watermark } => {
            set(layout::READ_STATUS, layout::READ_STATUS_AT_END as f64);
            set(layout::READ_HIGH_WATERMARK, *high_watermark as f64);
        }
        Outcome::Loading { token } => {
            set(layout::READ_STATUS, layout::READ_STATUS_LOADING as f64);
            set(layout::READ_TOKEN, f64::from(*token));
        }
        Outcome::Gap { to_offset } => {
            set(layout::READ_STATUS, layout::READ_STATUS_GAP as f64);
            set(layout::READ_NEXT_OFFSET, *to_offset as f64);
        }
        Outcome::OutOfRange { log_start, high_watermark } => {
            set(layout::READ_STATUS, layout::READ_STATUS_OUT_OF_RANGE as f64);
            set(layout::READ_LOG_START, *log_start as f64);
            set(layout::READ_HIGH_WATERMARK, *high_watermark as f64);
        }
    }
    numbers
}

fn set(numbers: &mut [f64], index: usize, value: f64) {
    if let Some(slot) = numbers.get_mut(index) {
        *slot = value;
    }
}

fn write(result: &mut [f64], numbers: &[f64]) {
    for (slot, value) in result.iter_mut().zip(numbers) {
        *slot = *value;
    }
}
