//! Produce frames.
#![expect(clippy::too_many_arguments, reason = "flat arguments cost no object a frame")]

use millrace_core::registry::produce::{Frame, Outcome, ProducerIdentity, RefusedInEntry};
use napi::bindgen_prelude::Float64ArraySlice;
use napi_derive::napi;

use crate::{error::to_js, handles, scratch, store::whole};

/// Takes a produce frame apart into `plan`, whose layout the `PLAN_*` constants give. Writes the
/// request's id, the ack asked for (-1 for none said) and the number of entries to `result`.
#[napi]
pub fn decode_produce(
    channel: u32,
    frame: &[u8],
    mut plan: Float64ArraySlice<'_>,
    mut result: Float64ArraySlice<'_>,
) -> napi::Result<()> {
    let state = handles::event_loop(channel)?;
    let mut buffers = state.scratch.lock();
    let (envelope, count) = buffers
        .produce
        .decode(frame, scratch::numbers(&mut plan))
        .map_err(|error| to_js(&error))?;
    let ack = envelope.ack.map_or(-1.0, f64::from);
    let values = [f64::from(envelope.id), ack, count as f64];
    for (slot, value) in scratch::numbers(&mut result).iter_mut().zip(values) {
        *slot = value;
    }
    Ok(())
}

/// Appends the first `count` entries of `plan`, made from `frame`, and notes there what became of
/// them. `ack` is -1 for the topic's own; `connection` tells whose frame it is, as the loop numbers
/// its connections: those of one keep their order. `result` gets the `FRAME_*` numbers, then the
/// rows about spread entries.
#[napi]
pub fn append(
    store: u32,
    channel: u32,
    frame: &[u8],
    mut plan: Float64ArraySlice<'_>,
    count: u32,
    ack: i32,
    producer_id: Option<f64>,
    producer_epoch: i32,
    connection: f64,
    mut result: Float64ArraySlice<'_>,
) -> napi::Result<()> {
    let store = handles::store(store)?;
    let state = handles::event_loop(channel)?;
    let mut buffers = state.scratch.lock();
    let frame = Frame {
        store: &store,
        channel: &state.channel,
        bytes: frame,
        bytes_start: 0,
        ack: u8::try_from(ack).ok(),
        producer: producer_id.map(|id| ProducerIdentity {
            id: id as i64,
            epoch: i16::try_from(producer_epoch).unwrap_or(-1),
        }),
        connection: whole(connection),
    };
    let count = usize::try_from(count).unwrap_or(0);
    let outcome = buffers.produce.append(&frame, scratch::numbers(&mut plan), count);
    let result = scratch::numbers(&mut result);
    write_outcome(result, &outcome, &buffers.produce.details().spreads);
    Ok(())
}

/// Takes what became of a frame that another thread appended, once its token is done: rows to
/// `plan`, the rest to `result` as `append` does. Whether there was any.
#[napi]
pub fn take_appended(
    channel: u32,
    token: u32,
    mut plan: Float64ArraySlice<'_>,
    mut result: Float64ArraySlice<'_>,
) -> napi::Result<bool> {
    let state = handles::event_loop(channel)?;
    let Some(appended) = state.channel.take_appended(token) else {
        return Ok(false);
    };
    for (slot, value) in scratch::numbers(&mut plan).iter_mut().zip(&appended.plan) {
        *slot = *value;
    }
    let outcome = Outcome { token, reached: appended.reached, is_elsewhere: true };
    write_outcome(scratch::numbers(&mut result), &outcome, &appended.details.spreads);
    state.scratch.lock().produce.show_details(appended.details);
    Ok(true)
}

/// A record for which the batch of an entry was refused.
#[napi(object)]
pub struct NativeRefusedRecord {
    /// Index of the entry.
    pub entry: u32,
    /// Its place in the batch, from 0.
    pub index: u32,
    /// What is wrong with it, for people.
    pub message: String,
}

/// The records for which batches of the frame that was appended or taken last were refused.
#[napi]
pub fn refused_records(channel: u32) -> napi::Result<Vec<NativeRefusedRecord>> {
    let state = handles::event_loop(channel)?;
    let buffers = state.scratch.lock();
    let refused = buffers.produce.details().refused.iter();
    let to_js = |RefusedInEntry { entry, index, message }: &RefusedInEntry| NativeRefusedRecord {
        entry: *entry,
        index: *index,
        message: message.clone(),
    };
    Ok(refused.map(to_js).collect())
}

fn write_outcome(result: &mut [f64], outcome: &Outcome, spreads: &[f64]) {
    let head = [
        f64::from(outcome.token),
        f64::from(outcome.reached),
        f64::from(u8::from(outcome.is_elsewhere)),
    ];
    for (slot, value) in result.iter_mut().zip(head.iter().chain(spreads)) {
        *slot = *value;
    }
}
