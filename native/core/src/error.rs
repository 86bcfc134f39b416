//! The one error type of the core: a code from the closed table and what a person needs to know.

use std::{fmt, io};

pub use crate::generated::Code;

/// What went wrong: a code of the closed table, and the details (what, where).
///
/// The code decides everything that a program needs (its number, whether to retry);
/// the details are for people and are never matched on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    code: Code,
    detail: String,
}

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `code`, with details such as the path or the offset it is about.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// An I/O error met while doing `what` (a phrase such as "writing /data/x.log").
    /// No space left becomes [`Code::DiskFull`]; everything else [`Code::KafkaStorageError`].
    pub fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::DiskFull,
            _ => Code::KafkaStorageError,
        };
        Self { code, detail: format!("{what}: {error}") }
    }

    /// The code of the closed table.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What and where, without the code's own message.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}: {}", self.code.name(), self.code.message(), self.detail)
    }
}

impl std::error::Error for Error {}
