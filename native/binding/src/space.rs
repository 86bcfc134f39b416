//! The space of the disk under a data directory.

use millrace_core::space::watermarks::Watermarks;
use napi::bindgen_prelude::{AsyncTask, Float64Array};
use napi_derive::napi;

use crate::{handles, job::Job, store::whole};

/// Resolves to the size of the file system that holds the data directory, and to what may still be
/// written there, in bytes.
#[napi(ts_return_type = "Promise<Float64Array>")]
pub fn volume_space(store: u32) -> napi::Result<AsyncTask<Job<Float64Array>>> {
    let store = handles::store(store)?;
    Ok(Job::start(move || {
        let space = store.space()?;
        let numbers = vec![space.total_bytes as f64, space.available_bytes as f64];
        Ok(Float64Array::new(numbers))
    }))
}

/// What is kept free of a file system, in bytes.
#[napi(object)]
pub struct NativeSpaceWatermarks {
    /// There is a warning when less is available.
    pub warn_below: f64,
    /// Records are refused when less is available,
    pub refuse_below: f64,
    /// and taken again from here on.
    pub resume_from: f64,
    /// Size of the reserve file.
    pub reserve: f64,
}

/// The watermarks of a file system of `total_bytes`.
#[napi]
pub fn space_watermarks(total_bytes: f64) -> NativeSpaceWatermarks {
    let marks = Watermarks::of(whole(total_bytes));
    NativeSpaceWatermarks {
        warn_below: marks.warn_below as f64,
        refuse_below: marks.refuse_below as f64,
        resume_from: marks.resume_from as f64,
        reserve: marks.reserve as f64,
    }
}

/// Gives up the blocks that are kept for what must not fail on a full disk; whether there may be
/// room now.
#[napi(ts_return_type = "Promise<boolean>")]
pub fn give_up_reserve(store: u32) -> napi::Result<AsyncTask<Job<bool>>> {
    let store = handles::store(store)?;
    Ok(Job::start(move || Ok(store.shared().space.give_up_reserve())))
}
