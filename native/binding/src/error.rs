//! Core errors as JavaScript exceptions.

use millrace_core::error::Error;

/// The exception for a core error: `CODE_NAME\ndetail`.
pub(crate) fn to_js(error: &Error) -> napi::Error {
    napi::Error::from_reason(format!("{}\n{}", error.code().name(), error.detail()))
}

/// The exception for an argument that is out of range.
pub(crate) fn invalid(detail: &str) -> napi::Error {
    napi::Error::from_reason(format!("INVALID_ARGUMENT\n{detail}"))
}
