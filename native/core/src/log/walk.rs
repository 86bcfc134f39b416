//! Going over the batches of a segment by their headers, past what is damaged.

use std::{io, sync::Arc};

use super::Log;
use crate::{
    batch::{BatchHeader, HEADER_BYTES},
    env::{File, transfer::read_full},
    error::{Error, Result},
    segment::Segment,
};

/// The batches of a segment, one after the other, as they are in its file. What cannot be read
/// ends it.
pub(super) struct Walk<'a> {
    segment: &'a Segment,
    file: Arc<dyn File>,
    position: u64,
}

/// A batch met on the way.
pub(super) struct Met {
    pub(super) header: BatchHeader,
    /// Where in the file it begins.
    pub(super) position: u64,
}

impl Log {
    /// The batches of a segment from a position on, at which one begins. Reads the file.
    ///
    /// # Errors
    /// [`crate::error::Code::KafkaStorageError`] where the file cannot be opened.
    pub(super) fn walk<'a>(&self, segment: &'a Segment, from: u64) -> Result<Walk<'a>> {
        let file = segment.file(&self.shared.files).map_err(|error| failure(segment, &error))?;
        Ok(Walk { segment, file, position: from })
    }
}

impl Walk<'_> {
    /// The whole of a batch that was met.
    ///
    /// # Errors
    /// [`crate::error::Code::KafkaStorageError`] where the file cannot be read.
    pub(super) fn batch(&self, met: &Met) -> Result<Vec<u8>> {
        let mut batch = vec![0; met.header.batch_bytes()];
        self.read(&mut batch, met.position)?;
        Ok(batch)
    }

    fn header(&self) -> Result<BatchHeader> {
        let mut head = [0; HEADER_BYTES];
        self.read(&mut head, self.position)?;
        BatchHeader::read(&head)
    }

    fn read(&self, bytes: &mut [u8], position: u64) -> Result<()> {
        let read = read_full(&*self.file, bytes, position)
            .map_err(|error| failure(self.segment, &error))?;
        if read < bytes.len() {
            return Err(failure(self.segment, &io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(())
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Met>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(damage) = self.segment.damage_at_or_behind(self.position)
            && damage.from_position <= self.position
        {
            self.position = damage.to_position;
        }
        let position = self.position;
        if position.saturating_add(HEADER_BYTES as u64) > self.segment.end_position() {
            return None;
        }
        let header = self.header();
        self.position = header
            .as_ref()
            .map_or(u64::MAX, |header| position.saturating_add(header.batch_bytes() as u64));
        Some(header.map(|header| Met { header, position }))
    }
}

pub(super) fn failure(segment: &Segment, error: &io::Error) -> Error {
    Error::io(format_args!("reading {}", segment.log_path().display()), error)
}
